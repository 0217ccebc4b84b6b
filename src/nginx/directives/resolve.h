#pragma once

#include "nginx/conf/config.h"

namespace ai_limit {

/** Resolves the names of zones, policies and Redis servers once all directives have been read, and
 * finds out what the policies need. NGX_ERROR after a message about what is wrong. */
ngx_int_t resolve_names(ngx_conf_t* cf);

/** Finds out which texts of policies are plain request headers, and which may be made of headers.
 * nginx calls it when it has given each variable its meaning, before workers start. */
extern "C" ngx_int_t ngx_http_ai_limit_init_module(ngx_cycle_t* cycle);

}  // namespace ai_limit
