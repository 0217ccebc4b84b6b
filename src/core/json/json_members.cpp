#include "core/json/json_members.h"

#include <cstdint>

namespace ai_limit {

namespace {

constexpr std::string_view kBetween = " \t\r\n,:";

/** Returns the size of the string at the front of `text`, with its quotes; 0 if it does not end. */
size_t string_size(std::string_view text) {
    for (size_t i = 1; i < text.size(); ++i) {
        if (text[i] == '\\') {
            ++i;
        } else if (text[i] == '"') {
            return i + 1;
        }
    }
    return 0;
}

/** The same of an object or an array. */
size_t container_size(std::string_view text) {
    constexpr unsigned kMaxDepth = 64;
    uint64_t objects = 0;  // a bit for each open bracket, the innermost one last
    unsigned depth = 0;
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '"') {
            const size_t size = string_size(text.substr(i));
            if (size == 0) {
                return 0;
            }
            i += size - 1;
        } else if (c == '{' || c == '[') {
            if (depth++ == kMaxDepth) {
                return 0;
            }
            objects = objects << 1 | (c == '{' ? 1 : 0);
        } else if (c == '}' || c == ']') {
            if ((objects & 1) != (c == '}' ? 1U : 0U)) {
                return 0;
            }
            objects >>= 1;
            if (--depth == 0) {
                return i + 1;
            }
        }
    }
    return 0;
}

size_t value_size(std::string_view text) {
    if (text.empty()) {
        return 0;
    }
    if (text.front() == '"') {
        return string_size(text);
    }
    if (text.front() == '{' || text.front() == '[') {
        return container_size(text);
    }
    const size_t end = text.find_first_of(kBetween);
    return end == text.npos ? text.size() : end;
}

void skip(std::string_view* rest) {
    const size_t begin = rest->find_first_not_of(kBetween);
    rest->remove_prefix(begin == rest->npos ? rest->size() : begin);
}

}  // namespace

bool take_json_member(std::string_view* rest, JsonMember* member) {
    skip(rest);
    const size_t key = rest->empty() || rest->front() != '"' ? 0 : string_size(*rest);
    if (key == 0) {
        return false;
    }
    member->key = rest->substr(1, key - 2);
    rest->remove_prefix(key);
    skip(rest);
    const size_t value = value_size(*rest);
    if (value == 0) {
        return false;
    }
    member->value = rest->substr(0, value);
    rest->remove_prefix(value);
    return true;
}

}  // namespace ai_limit
