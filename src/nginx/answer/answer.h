#pragma once

// Watches a request's answer for what it used, and settles with the policies in tokens.

#include "nginx/request/token_context.h"

namespace ai_limit {

/**
 * Finds out whether the answer's body reports what the request used, before its header is sent.
 * Settles if there is nothing to wait for. NGX_ERROR without memory.
 */
ngx_int_t begin_answer(ngx_http_request_t* r, TokenContext* tokens);

/** Reads more of the answer's body and changes nothing of it. Settles if it ends here. For `run`
 * see UsageReader. */
void watch_answer(ngx_http_request_t* r, TokenContext* tokens, ngx_buf_t* buf, KnownRun* run);

/**
 * Has nginx send the whole answer to a request with a body, not a 304 or a 412 that it finds by
 * itself when the model has done its work: such an answer could not be read for its usage.
 */
void want_whole_answer(ngx_http_request_t* r);

/** Has the request settled at its end, however it ends. NGX_ERROR without memory. */
ngx_int_t settle_at_end(ngx_http_request_t* r, TokenContext* tokens);

}  // namespace ai_limit
