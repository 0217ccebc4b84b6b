#pragma once

#include <string_view>

#include "core/words/types.h"

namespace ai_limit {

/**
 * Reads a whole decimal number without sign or spaces, the entire text.
 * A number above `max` (itself at most kMaxAmount) is read as `max`.
 * False, and `value` untouched, where the text is not such a number or empty.
 */
bool read_whole(std::string_view text, Amount max, Amount* value);

/** Reads the digits at the front of `text` and removes them; false if there are none or too
 * many. */
bool read_digits(std::string_view* text, uint64_t* value, unsigned* digits);

/**
 * Reads a number of JSON's grammar (RFC 8259, 6) as a count: not negative, whole, at most
 * kMaxAmount. `12.0` and `1.2E1` are twelve: servers that hold counts as floating point (Cohere
 * documents doubles) write them so. False, and `value` untouched, for everything else.
 */
bool read_json_count(std::string_view number, Amount* value);

/**
 * Reads a number of JSON's grammar as a count that an answer reports: a fraction is rounded up, and
 * what is above kMaxAmount is read as kMaxAmount. The point is moved to the right by `decimals`
 * first. False, and `value` untouched, for a negative number and for what is no number.
 */
bool read_reported_count(std::string_view number, Amount* value, int decimals = 0);

}  // namespace ai_limit
