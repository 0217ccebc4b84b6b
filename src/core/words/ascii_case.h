#pragma once

#include <cstddef>
#include <string_view>

namespace ai_limit {

/** A letter from A to Z as a small one; every other byte as it is. */
constexpr char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

/** True if `text` equals `lowercase`, ignoring case. */
constexpr bool is_same(std::string_view text, std::string_view lowercase) {
    if (text.size() != lowercase.size()) {
        return false;
    }
    for (size_t i = 0; i < text.size(); i++) {
        if (lower(text[i]) != lowercase[i]) {
            return false;
        }
    }
    return true;
}

}  // namespace ai_limit
