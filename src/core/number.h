#pragma once

#include <string_view>

#include "core/types.h"

namespace ai_limit {

/**
 * Reads a whole decimal number without sign or spaces, the entire text.
 * A number above `max` (itself at most kMaxAmount) is read as `max`.
 * False, and `value` untouched, where the text is not such a number or empty.
 */
bool read_whole(std::string_view text, Amount max, Amount* value);

/** Reads the digits at the front of `text` and removes them; false where there are none or too
 * many. */
bool read_digits(std::string_view* text, uint64_t* value, unsigned* digits);

}  // namespace ai_limit
