#pragma once

// Decides on a request as soon as that can be: here, or when Redis has answered.

#include "nginx/request/request_context.h"

namespace ai_limit {

/**
 * Decides on all charges of a request. NGX_OK with `passes`. NGX_AGAIN while Redis is asked: the
 * phase's handler is called again, and calls this with the same decision. Else a status to answer
 * with. `waiter`: the request's, whose turn it is; nullptr if it has just come.
 */
ngx_int_t decide_now(ngx_http_request_t* r, const PolicySet& set, Decision* one,
                     const Waiter* waiter, bool* passes);

/** True while Redis is asked about the request. */
bool is_asked_about(ngx_http_request_t* r);

}  // namespace ai_limit
