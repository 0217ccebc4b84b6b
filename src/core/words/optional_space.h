#pragma once

#include <string_view>

namespace ai_limit {

/** True if a byte is optional white space of HTTP: a space or a tab (OWS; RFC 9110, 5.6.3). */
constexpr bool is_optional_space(char c) {
    return c == ' ' || c == '\t';
}

/** The text without the optional white space at both ends, which is no part of a header's value
 * (RFC 9110, 5.5). */
constexpr std::string_view trim_optional_space(std::string_view text) {
    while (!text.empty() && is_optional_space(text.back())) {
        text.remove_suffix(1);
    }
    while (!text.empty() && is_optional_space(text.front())) {
        text.remove_prefix(1);
    }
    return text;
}

}  // namespace ai_limit
