#pragma once

// What ai_limit_redis says, and a worker's own part of it.

#include "redis/router.h"
#include "redis/script_call.h"

namespace ai_limit {

/** How a policy is shared with other nodes. */
enum class Sync : uint8_t { kUnset, kOff, kStrict };

/** What decides while Redis is away. */
enum class OnFailure : uint8_t { kLocal, kAllow, kReject };

/** Reads `off` or `strict`; false for anything else. */
inline bool parse_sync(std::string_view text, Sync* sync) {
    *sync = text == "strict" ? Sync::kStrict : Sync::kOff;
    return text == "strict" || text == "off";
}

struct RedisConf;

/** Renews what is in flight, now and then. */
struct Renewal {
    ngx_event_t event;
    RedisConf* redis;
};

struct RedisConf {
    RedisAccess access;
    RedisServers servers;
    Sync sync;  // of policies that do not say
    OnFailure on_failure;

    // A worker's own:
    RedisRouter router;
    uint64_t worker;   // MemberId::worker
    uint64_t members;  // how many were named
    ngx_queue_t flights;
    Renewal renewal;
};

}  // namespace ai_limit
