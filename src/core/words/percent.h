#pragma once

#include <string_view>

namespace ai_limit {

/**
 * Decodes a name or a value of a URL's query: percent escapes, and a plus as a space. Text that is
 * no escape stays as it is. The result lies in `buffer`, which has room for as many bytes, or is
 * `text` if nothing is encoded.
 */
std::string_view decode_percent(std::string_view text, char* buffer);

}  // namespace ai_limit
