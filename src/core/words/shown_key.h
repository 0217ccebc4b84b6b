#pragma once

#include <string_view>

#include "core/words/text_writer.h"

namespace ai_limit {

/** Bytes that write_shown_key() needs at most. */
constexpr size_t kMaxShownKey = 640;

/**
 * Writes a key as a log may show it: the first and the last four characters, or fewer of a short
 * one, since a key may be a secret. Addresses, and what begins with `ip:` or `key:`, are no secrets
 * and are shown whole up to 128 bytes. Control characters, quotes and backslashes are written as
 * \xHH.
 */
void write_shown_key(std::string_view key, TextWriter& out);

/**
 * Writes the key in the same way into `size` bytes, at least 8. A key that does not fit is cut,
 * which an ellipsis shows. Returns the number of bytes written.
 */
size_t copy_shown_key(std::string_view key, char* to, size_t size);

/** Writes a text as write_escaped() does into `size` bytes, at least 8, and cuts it in the same
 * way. */
size_t copy_escaped(std::string_view text, char* to, size_t size);

/** Writes a text for a log: at most 128 bytes of it, what is not plain ASCII as \xHH. */
void write_escaped(std::string_view text, TextWriter& out);

}  // namespace ai_limit
