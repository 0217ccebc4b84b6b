#include "core/json/json_characters.h"

#include <cstring>

namespace ai_limit {

uint64_t count_characters(std::string_view text) {
    constexpr uint64_t kOnes = 0x0101010101010101;
    uint64_t continuing = 0;
    size_t at = 0;
    // eight at a time
    for (; text.size() - at >= 8; at += 8) {
        uint64_t word;
        std::memcpy(&word, text.data() + at, sizeof word);
        // 10xxxxxx: the multiplication adds the eight ones up in the highest byte
        continuing += ((word >> 7 & ~word >> 6 & kOnes) * kOnes) >> 56;
    }
    for (; at < text.size(); ++at) {
        continuing += (text[at] & 0xC0) == 0x80 ? 1 : 0;
    }
    return text.size() - continuing;
}

void JsonCharacters::add(std::string_view raw) {
    while (!raw.empty()) {
        if (after_backslash_ || digits_left_ > 0) {
            take_escape(raw.front());
            raw.remove_prefix(1);
            continue;
        }
        if (raw.size() > 1 && raw[0] == '\\' && raw[1] != 'u') {
            ++count_;
            after_high_ = false;
            raw.remove_prefix(2);
            continue;
        }
        const size_t plain = raw.find('\\');
        count_ += count_characters(raw.substr(0, plain));
        after_high_ = after_high_ && plain == 0;
        if (plain == raw.npos) {
            return;
        }
        after_backslash_ = true;
        raw.remove_prefix(plain + 1);
    }
}

void JsonCharacters::take_escape(char c) {
    if (after_backslash_) {
        after_backslash_ = false;
        digits_left_ = c == 'u' ? 4 : 0;
        count_ += c == 'u' ? 0 : 1;
        after_high_ = after_high_ && c == 'u';
        return;
    }
    // D800 to DBFF, and DC00 to DFFF (RFC 8259, 7)
    const char lower = static_cast<char>(c | 0x20);
    if (digits_left_ == 4) {
        half_ = lower == 'd';
    } else if (digits_left_ == 3) {
        low_half_ = lower >= 'c' && lower <= 'f';
        half_ =
            half_ && (low_half_ || lower == '8' || lower == '9' || lower == 'a' || lower == 'b');
    }
    if (--digits_left_ == 0) {
        const bool ends_pair = half_ && low_half_ && after_high_;
        count_ += ends_pair ? 0 : 1;
        after_high_ = half_ && !low_half_;
    }
}

}  // namespace ai_limit
