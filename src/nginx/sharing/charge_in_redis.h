#pragma once

// What a decision keeps of each charge that Redis has decided on.

#include "nginx/decision/decision.h"
#include "redis/script/script_call.h"

namespace ai_limit {

struct Flight;  // redis_flights.h

/** The rest is as Redis was asked last; its members say whether it was. */
struct ChargeInRedis {
    Flight* flight;      // in flight for the charge; nullptr: nothing
    RedisSharer sharer;  // its key: valid only while Redis is asked
    RedisTurn turn;      // no node: nobody waits for the key over all nodes
};

/** Returns what a charge has in flight in Redis; nullptr for nothing. */
inline Flight* flight_of(const Decision& one, ngx_uint_t charge) {
    return one.in_redis != nullptr ? one.in_redis[charge].flight : nullptr;
}

}  // namespace ai_limit
