#pragma once

// ai_limit_api: what an operator sees and may change.

#include "nginx/config.h"

namespace ai_limit {

extern "C" char* ngx_http_ai_limit_api(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);

/** Warns if nothing in the location that is being merged says who may reach its API with write=on.
 */
void warn_of_open_api(ngx_conf_t* cf, const Position& position);

}  // namespace ai_limit
