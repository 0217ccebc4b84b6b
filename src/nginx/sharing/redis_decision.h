#pragma once

// Decisions that are made in Redis: the request waits for its answer.

#include "nginx/conf/live_redis.h"
#include "nginx/decision/decision.h"

namespace ai_limit {

struct RedisDecision;

/** True if policies of this decision are in Redis. */
bool uses_redis(const Decision& one);

/**
 * Decides if some of the policies are in Redis. NGX_AGAIN while Redis is asked: the phase's
 * handler runs again when it has answered, and calls this again with the same `decision`, which is
 * the request's own and nullptr at first. NGX_OK with `passes`; else a status to answer with.
 */
ngx_int_t decide_in_redis(ngx_http_request_t* r, LiveRedis* redis, Decision* one,
                          RedisDecision** decision, bool* passes);

/** The request ends while Redis is asked. */
void abandon(RedisDecision* decision);

}  // namespace ai_limit
