#pragma once

// The settings of ai_limit_redis.

#include "redis/network/router.h"
#include "redis/script/script_call.h"

namespace ai_limit {

/** How a policy counts together with other nodes. */
enum class Sync : uint8_t { kUnset, kOff, kStrict, kEvery };

/** The value of a sync= parameter. */
struct Syncing {
    Sync sync;
    Millis interval;  // of kEvery, in milliseconds
};

/** How requests are decided while Redis is away. */
enum class OnFailure : uint8_t { kLocal, kAllow, kReject };

/** Intervals, in milliseconds. */
constexpr Millis kUsualInterval = 100;
constexpr Millis kShortestInterval = 1;
constexpr Millis kLongestInterval = 10'000;

struct LiveRedis;  // live_redis.h

struct RedisConf {
    RedisAccess access;
    RedisServers servers;
    Syncing syncing;  // of policies that do not say
    OnFailure on_failure;
    bool has_shares;  // some policies are decided on by share (redis_ledgers.h)
    LiveRedis* live;  // a worker's own state (live_redis.h)
};

}  // namespace ai_limit
