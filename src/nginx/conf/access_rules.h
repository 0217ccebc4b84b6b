#pragma once

#include "ngx.h"

namespace ai_limit {

/** True if a module of nginx says who may reach the location that is being merged. */
bool is_access_limited(ngx_conf_t* cf);

}  // namespace ai_limit
