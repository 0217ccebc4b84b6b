#pragma once

// ai_limit_include_usage: asks upstream for the usage at the end of an OpenAI-style stream, where
// the client did not.

#include "nginx/request/token_context.h"

namespace ai_limit {

/**
 * Adds the edit of the body, which nginx has read, that asks for the usage. False if none is
 * needed, or none can be made.
 */
bool add_usage_edit(ngx_http_request_t* r, const TokenContext& tokens, BodyEdits* edits);

/** Prepares the request for the answer with the usage. NGX_ERROR without memory. */
ngx_int_t expect_usage(ngx_http_request_t* r, TokenContext* tokens);

}  // namespace ai_limit
