#pragma once

#include "ngx.h"

namespace ai_limit {

/** The position of a directive, for mistakes that are found only after all are read. */
struct Position {
    ngx_str_t file;
    ngx_uint_t line;
};

}  // namespace ai_limit
