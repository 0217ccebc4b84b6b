#pragma once

#include <cstddef>
#include <string_view>

namespace ai_limit {

/** A letter from A to Z as a small one; every other byte as it is. */
constexpr char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

/** Whether `text` is `lowercase`, in whatever case it is written. */
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
