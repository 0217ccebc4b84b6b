#pragma once

#include "ngx.h"

namespace ai_limit {

/** Puts the two deciding handlers where they belong among nginx's phases. */
ngx_int_t add_phase_handlers(ngx_conf_t* cf);

}  // namespace ai_limit
