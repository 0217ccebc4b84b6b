#pragma once

#include <cstdint>
#include <string_view>

namespace ai_limit {

/**
 * Tells how many bytes JSON strings that come in pieces cut anywhere have as UTF-8, their escapes
 * decoded. Half of a surrogate pair that stands alone counts as the three bytes of the replacement
 * character. What it takes is what JsonScanner lets through, so escapes are well-formed.
 */
class JsonTextSize {
public:
    /** Another string begins. */
    void begin_string() { *this = JsonTextSize(); }

    /** The next bytes between the quotes. Returns by how much the text has grown. */
    uint64_t add(std::string_view raw);

private:
    unsigned take_escape(char c);

    uint16_t unit_ = 0;        // of a \u escape, as far as it has been read
    uint8_t digits_left_ = 0;  // of a \u escape
    bool after_backslash_ = false;
    bool after_high_ = false;  // the first half of a surrogate pair came just before
};

}  // namespace ai_limit
