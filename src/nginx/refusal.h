#pragma once

#include "nginx/request_context.h"

namespace ai_limit {

/** Logs a refusal and answers it; returns what the phase handler is to return. */
ngx_int_t refuse(ngx_http_request_t* r, RequestContext* context);

/** Logs what a decision would have refused, were it not for a dry run. */
void log_dry_run(ngx_http_request_t* r, RequestContext* context, Evaluation* one);

}  // namespace ai_limit
