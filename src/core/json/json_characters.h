#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace ai_limit {

/** No byte has its highest bit set. Inline, as each event of a stream is asked. */
inline bool is_ascii(std::string_view text) {
    const auto load = [&](auto* word, size_t offset) {
        std::memcpy(word, text.data() + offset, sizeof *word);
        return *word;
    };
    const size_t size = text.size();
    if (size >= 8) {
        uint64_t word;
        uint64_t any = load(&word, size - 8);
        for (size_t at = 0; at + 8 < size; at += 8) {
            any |= load(&word, at);
        }
        return (any & 0x8080808080808080) == 0;
    }
    if (size >= 4) {
        uint32_t word;
        const uint32_t any = load(&word, 0) | load(&word, size - 4);
        return (any & 0x80808080) == 0;
    }
    return size == 0 || ((text[0] | text[size / 2] | text[size - 1]) & 0x80) == 0;
}

/** Characters of UTF-8: all bytes but those that continue one (RFC 3629, 3). */
uint64_t count_characters(std::string_view text);

/**
 * Counts the characters (Unicode code points) of JSON strings that come in pieces cut anywhere, as
 * they stand between the quotes: an escape is one character, and so are the two escapes of a
 * surrogate pair. Half a pair that stands alone is one as well: servers replace it by U+FFFD.
 */
class JsonCharacters {
public:
    /** Another string begins. The count so far stays. */
    void begin_string() {
        after_backslash_ = false;
        digits_left_ = 0;
        after_high_ = false;
    }

    void add(std::string_view raw);

    /** Takes a piece of a string, which begins there if it is the `first`. Returns its characters.
     */
    uint64_t add_piece(std::string_view raw, bool first) {
        if (first) {
            begin_string();
        }
        const uint64_t before = count_;
        add(raw);
        return count_ - before;
    }

    /** In all strings so far. */
    uint64_t count() const { return count_; }

private:
    void take_escape(char c);

    uint64_t count_ = 0;
    uint8_t digits_left_ = 0;  // of a \u escape
    bool after_backslash_ = false;
    bool after_high_ = false;  // directly before is the first half of a pair
    bool half_ = false;        // the escape is half a pair, as far as it has been read:
    bool low_half_ = false;    // the second one
};

}  // namespace ai_limit
