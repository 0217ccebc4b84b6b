#pragma once

// ai_limit_self: what a client sees of its own limits.

#include "nginx/conf/config.h"

namespace ai_limit {

extern "C" char* ngx_http_ai_limit_self(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);

}  // namespace ai_limit
