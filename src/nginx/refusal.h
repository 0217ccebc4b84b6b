#pragma once

#include "nginx/request_context.h"

namespace ai_limit {

/** Logs a refusal and answers it; returns what the phase handler is to return. */
ngx_int_t refuse(ngx_http_request_t* r, RequestContext* context);

/** Logs that the request would have been refused, were it not for a dry run. */
void log_dry_run(ngx_http_request_t* r, RequestContext* context);

}  // namespace ai_limit
