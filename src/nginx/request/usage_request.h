#pragma once

// ai_limit_include_usage: asks upstream for the usage at the end of an OpenAI-style stream, where
// the client did not.

#include "nginx/request/token_context.h"

namespace ai_limit {

/**
 * Changes the body of such a request, which nginx has read; leaves any other alone. NGX_ERROR
 * without memory or where its file cannot be written.
 */
ngx_int_t ask_for_usage(ngx_http_request_t* r, TokenContext* tokens);

}  // namespace ai_limit
