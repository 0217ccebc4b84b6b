#pragma once

// ai_limit_body_field: variables from the request's JSON body.

#include "ngx.h"

namespace ai_limit {

extern "C" char* ngx_http_ai_limit_body_field(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);

}  // namespace ai_limit
