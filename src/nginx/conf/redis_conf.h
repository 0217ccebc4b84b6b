#pragma once

// The settings of ai_limit_redis, and a worker's own state.

#include "redis/network/router.h"
#include "redis/script/script_call.h"
#include "timer.h"

namespace ai_limit {

/** How a policy is shared with other nodes. */
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

struct RedisConf {
    RedisAccess access;
    RedisServers servers;
    Syncing syncing;  // of policies that do not say
    OnFailure on_failure;

    // A worker's own:
    RedisRouter router;
    uint64_t worker;   // MemberId::worker
    uint64_t members;  // how many were named
    ngx_queue_t flights;
    Timer renewal;    // of what is in flight
    uint64_t node;    // names this node for ever
    bool has_shares;  // some policies are decided on by share (redis_ledgers.h)
    const ngx_array_t* zones;
    ngx_rbtree_t deltas;
    size_t delta_count;
    size_t due_under_way;
    Timer sync_timer;
    bool sync_ends;
    Timer heartbeat;
    const ngx_array_t* policies;  // of PolicyConf*
    Timer announcing;             // what they count (redis_units.h)
};

}  // namespace ai_limit
