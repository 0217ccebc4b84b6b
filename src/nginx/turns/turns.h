#pragma once

// Requests that wait for their turn (`wait=`). A request that one policy or more refuse joins the
// queue of the one that would let it wait longest, and is decided on again, as a whole, when it is
// its turn there. If another policy refuses then, it joins that one's queue, where its place is by
// its arrival, and holds up nobody in the first one.

#include "nginx/request/request_context.h"
#include "nginx/turns/waiting_keys.h"

namespace ai_limit {

/** The decision that waits for its turn, of these policies; nullptr if none does. */
Decision* waiting_decision(ngx_http_request_t* r, const PolicySet& set);

/**
 * Decides on all charges of a request. NGX_OK with `passes`. NGX_AGAIN while Redis is asked, or if
 * a request that has waited must wait on: the phase's handler is called again, and calls this with
 * the same decision.
 */
ngx_int_t decide_in_turn(ngx_http_request_t* r, const PolicySet& set, Decision* one, bool* passes);

/** Has a request that was refused wait for its turn. NGX_AGAIN, as above; NGX_OK if it has to be
 * refused now, or has waited before. */
ngx_int_t begin_wait(ngx_http_request_t* r, const PolicySet& set, Decision* one);

/** Returns how long the request has waited for its turn until now, in milliseconds. */
Millis waited_for_turn(const RequestContext& context);

}  // namespace ai_limit
