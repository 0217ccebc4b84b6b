#pragma once

// Decisions on policies in Redis that this node makes by itself: while Redis is away, and as far as
// its share goes.

#include "nginx/conf/live_redis.h"
#include "nginx/decision/decision.h"

namespace ai_limit {

/**
 * True if this node passes requests of the policy by itself, as far as its share goes. A
 * reservation of tokens lasts: what nodes did not know of each other would last as long.
 */
bool passes_by_share(const PolicyConf& policy, const Ask& ask);

/** True if this node may have to decide alone, or had to lately and has not reported all of it. */
bool may_have_been_alone(ngx_http_request_t* r, const Zone& zone);

/** Sets the decider of a policy's charges, which then have passed as far as anybody has said. */
void set_decider(PolicyCharge* charge, Decider decider);

/** Sets the decider of each policy in Redis, whatever a part of Redis has said. */
void set_decider(Decision* one, Decider decider);

/** Decides as `on_failure=` says. NGX_OK with `passes`. */
ngx_int_t decide_without_redis(LiveRedis* redis, Decision* one, bool* passes);

/** Decides by this node's share; false if Redis must be asked. */
bool decide_by_share(LiveRedis* redis, Decision* one, bool* passes);

}  // namespace ai_limit
