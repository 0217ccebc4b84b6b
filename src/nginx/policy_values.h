#pragma once

#include "nginx/config.h"

namespace ai_limit {

/**
 * The limit and the cost that a policy's variables hold for this request. `limit` and `cost` come
 * with the policy's constants. NGX_DECLINED where the policy does not apply: the variable is empty,
 * or malformed, which is logged and counted. A malformed cost counts as 1. NGX_ERROR where there is
 * no memory.
 */
ngx_int_t read_values(ngx_http_request_t* r, PolicyConf* policy, const Limit** limit, Amount* cost);

}  // namespace ai_limit
