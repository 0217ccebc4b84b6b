#pragma once

// Limits of single keys in policies that nodes share: a change is made in Redis, and every node
// learns of it there within half a second. The zone has them like those of this node alone, so
// requests find them there, whether Redis answers or not.

#include "nginx/conf/config.h"
#include "redis/script/override_calls.h"

namespace ai_limit {

/** Start and stop this in a worker that starts or ends. */
void start_sharing_overrides(LiveRedis* redis);
void stop_sharing_overrides(LiveRedis* redis);

/** Goes on when Redis has answered, or has not: `answer` is nullptr then. Returns what a content
 * handler has to return. */
using OverrideThen = ngx_int_t (*)(ngx_http_request_t* r, void* data, const OverrideAnswer* answer);

/** A change that all nodes shall know. */
struct WantedChange {
    const PolicyConf* policy;  // in Redis
    std::string_view key;
    uint64_t hash;          // of it, by hash_key()
    Millis lasts;           // of what is set, or was known here when it is removed
    std::string_view rate;  // empty: the override is removed
};

/**
 * Has Redis change a key's limit. NGX_DONE while the request waits, then `then` goes on, unless the
 * client has gone. NGX_DECLINED where Redis is not there: nothing has changed. The caller then
 * changes it in this node's zone, which need not wait for others.
 */
ngx_int_t change_override(ngx_http_request_t* r, const WantedChange& wanted, OverrideThen then,
                          void* data);

/**
 * False if a limit has a window unlike the key's own. In Redis a key has one count for each policy,
 * which another window would convert, so that what was used is forgotten. A limit of nothing takes
 * the key's window.
 */
bool keep_window(const Limit& own, Limit* limit);

}  // namespace ai_limit
