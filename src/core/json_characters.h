#pragma once

#include <cstdint>
#include <string_view>

namespace ai_limit {

/**
 * Counts the characters (Unicode code points) of JSON strings that come in pieces cut anywhere, as
 * they stand between the quotes: an escape is one character, and so are the two escapes of a
 * surrogate pair.
 */
class JsonCharacters {
public:
    /** Another string begins. What was counted stays. */
    void begin_string() {
        after_backslash_ = false;
        digits_left_ = 0;
    }

    void add(std::string_view raw);

    /** In all strings so far. */
    uint64_t count() const { return count_; }

private:
    void take_escape(char c);

    uint64_t count_ = 0;
    uint8_t digits_left_ = 0;  // of a \u escape
    bool after_backslash_ = false;
    bool low_half_ = false;  // the escape is the second half of a pair, as far as it has been read
};

}  // namespace ai_limit
