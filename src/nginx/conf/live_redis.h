#pragma once

// A worker's own state of ai_limit_redis.

#include "nginx/conf/redis_conf.h"
#include "timer.h"

namespace ai_limit {

struct MainConf;  // config.h

struct LiveRedis {
    const RedisConf* conf;
    const MainConf* main;  // the configuration that `conf` is of
    RedisAccess access;    // that of `conf`, and where this nginx counts what it sends
    RedisRouter router;
    uint64_t worker;   // MemberId::worker
    uint64_t members;  // how many were named
    ngx_queue_t flights;
    Timer renewal;  // of what is in flight
    uint64_t node;  // names this node for ever
    ngx_rbtree_t deltas;
    size_t delta_count;
    size_t due_under_way;
    Timer sync_timer;
    bool sync_ends;
    Timer heartbeat;
    Timer announcing;      // what policies count (redis_units.h)
    Timer overrides;       // of single keys (nginx/overrides/shared_overrides.h)
    bool has_logged_full;  // that the zone has no room for one of them
};

}  // namespace ai_limit
