#pragma once

// Renews what requests have in flight in Redis while that takes long, and settles it when the
// request has ended. Redis may receive that later.

#include "core/decide/admission.h"
#include "nginx/conf/live_redis.h"

namespace ai_limit {

struct Flight;
struct GrowthQuestion;  // redis_growth.cpp

/** A flight's place among those that are to be renewed, in order of time. */
struct FlightLink {
    ngx_queue_t queue;
    Flight* flight;  // nullptr before it is known to be in flight
    ngx_msec_t renew_at;
};

/** What Redis has said about more tokens for a flight (redis_growth.h). */
struct FlightGrowth {
    bool is_refused;      // the last time that it was asked
    bool is_unknown;      // Redis does not know the flight, or has not answered
    uint64_t asked_at;    // characters of the answer's text then
    uint64_t* next_text;  // of the request's TextBounds: set to 0 when Redis has answered
};

/** The sharer of a flight's key; its key of Redis is `text`. */
struct SharerOfFlight : RedisSharerFlight {
    char text[kMaxRedisSharerKey];
};

/** A flight is in memory that outlives the request. */
struct Flight : RedisFlight {
    SharerOfFlight* sharer;  // nullptr: nobody shares the key, or each node decides on parts
    FlightLink link;
    LiveRedis* redis;
    const ZoneAccess* access;  // of the zone that counts it here
    uint32_t policy;           // its number there
    GrowthQuestion* question;  // on its growth, while Redis is asked
    FlightGrowth growing;
    char key_text[kMaxRedisKey];
};

/** Start and stop this in a worker that starts or ends. */
void start_sharing(LiveRedis* redis, const MainConf& main);
void stop_sharing(LiveRedis* redis);

/** Makes the record of what a request will have in flight if Redis admits it. The caller fills in
 * its key. nullptr without memory. */
Flight* make_flight(LiveRedis* redis, const Charge& charge);

/** Adds the sharer, whose part Redis compares with. False without memory. */
bool add_sharer(Flight* flight, const RedisSharer& sharer);

/** Frees a record that never was in flight. */
void forget_flight(Flight* flight);

/** Renews from now on a record that is in flight. */
void keep_in_flight(Flight* flight);

/** Settles what is in flight, or may be: `tokens` were used. `known` is the key's state with them,
 * for a Redis that has lost its data; nothing if nothing is used. */
void settle_flight(Flight* flight, Amount tokens, const State& known = {});

/** Returns a command to fill in, the same one each time. */
Command* empty_command();

/** Takes back what a request took of its sharer's part that has nothing in flight. */
void give_back_part(LiveRedis* redis, const RedisCharge& charge, Now now);

/** Sends a call that concerns a key and is worth nothing later. */
void send_once(LiveRedis* redis, std::string_view key, const Command& command);

}  // namespace ai_limit
