#include "core/words/percent.h"

#include <cstddef>

#include "core/words/json_bytes.h"

namespace ai_limit {

namespace {

/** The byte that an escape at the front of `text` stands for; -1 where there is none. */
int escaped_byte(std::string_view text) {
    if (text.size() < 3 || text.front() != '%') {
        return -1;
    }
    const int high = hex_digit(text[1]);
    const int low = hex_digit(text[2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

}  // namespace

std::string_view decode_percent(std::string_view text, char* buffer) {
    if (text.find_first_of("%+") == text.npos) {
        return text;
    }
    char* end = buffer;
    for (size_t i = 0; i < text.size(); ++i) {
        const int byte = escaped_byte(text.substr(i));
        if (byte >= 0) {
            *end++ = static_cast<char>(byte);
            i += 2;
        } else {
            *end++ = text[i] == '+' ? ' ' : text[i];
        }
    }
    return {buffer, static_cast<size_t>(end - buffer)};
}

}  // namespace ai_limit
