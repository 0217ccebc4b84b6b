#pragma once

// ai_limit_api: what an operator sees and may change.

#include "nginx/conf/config.h"

namespace ai_limit {

extern "C" char* ngx_http_ai_limit_api(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);

}  // namespace ai_limit
