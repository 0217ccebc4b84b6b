#pragma once

// Ends a running stream whose policy with overrun=cut has no more room, as its API ends one that
// has reached its token limit.

#include "nginx/request/token_context.h"

namespace ai_limit {

/**
 * Prepares an answer whose reader has been made, before its header goes on. A compressed stream
 * goes on decompressed: nothing could be added to it otherwise. NGX_ERROR without memory.
 */
ngx_int_t begin_cutting(ngx_http_request_t* r, TokenContext* tokens);

/** Passes the next part of the body to `next`: all of it, or what the client still gets. */
ngx_int_t pass_cuttable(ngx_http_request_t* r, TokenContext* tokens, ngx_chain_t* in,
                        ngx_http_output_body_filter_pt next);

}  // namespace ai_limit
