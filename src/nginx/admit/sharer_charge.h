#pragma once

#include "nginx/conf/config.h"

namespace ai_limit {

/** Adds the charge of who shares the key to a policy's charge, if any do, and remembers the
 * sharer's name for operators. NGX_ERROR without memory. */
ngx_int_t add_sharer(ngx_http_request_t* r, const PolicyConf& policy, std::string_view key,
                     PolicyCharge* charge);

}  // namespace ai_limit
