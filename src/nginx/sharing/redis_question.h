#pragma once

// What a decision asks Redis: its charges, put together by slot, with what they have in flight. It
// is in memory that outlives the request, since Redis answers whether the client is there or not.

#include "nginx/conf/live_redis.h"
#include "nginx/decision/decision.h"
#include "nginx/waiting/waiting.h"

namespace ai_limit {

struct Flight;  // redis_flights.h
struct RedisDecision;

/** Charges of a decision that Redis decides on by one call: those of one slot. */
struct RedisPart : RedisCommand {
    RedisDecision* decision;
    uint16_t slot;
    bool answered;
    bool passes;
    size_t count;
    RedisCharge* charges;
};

struct RedisDecision {
    enum Stage : uint8_t { kBeingAsked, kAsked, kDone };

    RedisDecision* next_spare;

    Wait wait;
    bool abandoned;  // the request has gone, and its charges with it
    LiveRedis* redis;
    Stage stage;
    std::string_view hashed;  // the key that `hash` is of
    KeyHash hash;
    size_t count;
    RedisCharge charges[kMaxSetPolicies];  // those of one part are neighbours
    Flight* flights[kMaxSetPolicies];      // nullptr of a charge that has nothing in flight
    char keys[kMaxSetPolicies][kMaxRedisKey];
    char sharer_keys[kMaxSetPolicies][kMaxRedisSharerKey];
    size_t part_count;
    size_t awaited;  // parts without an answer
    RedisPart parts[kMaxSetPolicies];
};

/** True if the limit counts requests or tokens in flight. */
inline bool is_in_flight(const Limit& limit) {
    return limit.measure != Measure::kRequests;
}

/** Makes the calls for a decision's policies in Redis; `done` is called for each part's answer.
 * nullptr without memory. */
RedisDecision* make_decision(LiveRedis* redis, Decision* one,
                             bool (*done)(RedisCommand*, const Reply*));

/** Frees a decision, or keeps its memory for the next one. What it has in flight must have been
 * settled, forgotten or handed over. */
void free_decision(RedisDecision* decision);

/** Ends what the decision may have put in flight. */
void settle_flights(RedisDecision* decision);

/** Frees flights that were never in flight. */
void free_flights(RedisDecision* decision);

/** Frees, at the worker's end, the memory that is kept for further decisions. */
void forget_spare_decisions();

}  // namespace ai_limit
