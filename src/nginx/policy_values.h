#pragma once

#include "nginx/config.h"

namespace ai_limit {

/**
 * Puts the limit and the cost that a policy's variables hold for this request into `ask`, which
 * comes with what the policy always asks. NGX_DECLINED where the policy does not apply: the
 * variable is empty, or malformed, which is logged and counted. A malformed cost counts as 1.
 * NGX_ERROR where there is no memory.
 */
ngx_int_t read_values(ngx_http_request_t* r, PolicyConf* policy, Ask* ask);

}  // namespace ai_limit
