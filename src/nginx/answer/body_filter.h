#pragma once

#include "ngx.h"

namespace ai_limit {

/** Puts the filter of answers' bodies at the front of nginx's chain. */
void add_body_filter();

}  // namespace ai_limit
