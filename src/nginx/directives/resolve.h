#pragma once

#include "nginx/conf/config.h"

namespace ai_limit {

/** Resolves the names of zones, policies and Redis servers once all directives have been read, and
 * finds out what the policies need. NGX_ERROR after a message about what is wrong. */
ngx_int_t resolve_names(ngx_conf_t* cf);

}  // namespace ai_limit
