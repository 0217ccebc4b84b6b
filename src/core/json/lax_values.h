#pragma once

// Recognizes the values that pydantic takes for a boolean or an integer beside JSON's own (its
// "lax" mode). Servers in Python accept requests with such values.

#include <cstdint>
#include <string_view>

namespace ai_limit {

enum class LaxBool : uint8_t { kNeither, kFalse, kTrue };

/** Reads a string: true, t, yes, y, on, 1, and their opposites, in any case. */
LaxBool lax_bool_of_text(std::string_view text);

/** Reads a number of JSON's grammar: 0 or 1, also as a fraction (1.0). */
LaxBool lax_bool_of_number(std::string_view number);

/**
 * True if a string stands for a whole number: digits, also with a sign, white space around it,
 * underscores within it or zeros behind a point. `text` is then the part that remains to be read:
 * the number without white space and without a plus. It is empty for a number with underscores, and
 * for one that is too long to be read.
 */
bool is_lax_number(std::string_view* text);

}  // namespace ai_limit
