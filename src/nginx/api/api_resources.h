#pragma once

// The resources under the location of ai_limit_api. Each function returns what a content handler
// has to return.

#include "nginx/conf/config.h"

namespace ai_limit {

ngx_int_t send_page(ngx_http_request_t* r);
ngx_int_t send_status(ngx_http_request_t* r);
ngx_int_t send_metrics(ngx_http_request_t* r);

/** Answers GET, and DELETE and PUT if the location may write. */
ngx_int_t answer_for_key(ngx_http_request_t* r);

}  // namespace ai_limit
