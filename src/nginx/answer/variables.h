#pragma once

#include "ngx.h"

namespace ai_limit {

/** Tells nginx of the module's variables. */
ngx_int_t add_variables(ngx_conf_t* cf);

}  // namespace ai_limit
