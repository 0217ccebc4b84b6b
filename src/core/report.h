#pragma once

#include "core/types.h"

namespace ai_limit {

/**
 * Which of n descriptions speaks for the request, n > 0: of those that refuse, the one with the longest
 * wait; where none does, the one with the smallest part of its limit remaining. The first of equals.
 */
size_t choose_reported(const Description* all, size_t n);

}  // namespace ai_limit
