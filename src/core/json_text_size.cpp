#include "core/json_text_size.h"

#include "core/json_bytes.h"

namespace ai_limit {

namespace {

/** What a half of a pair counts until the other one comes, which then adds the fourth byte. */
constexpr unsigned kHalfSize = 3;

bool is_half(uint16_t unit, uint16_t first) {
    return (unit & 0xFC00) == first;
}

}  // namespace

uint64_t JsonTextSize::add(std::string_view raw) {
    uint64_t grown = 0;
    while (!raw.empty()) {
        if (after_backslash_ || digits_left_ > 0) {
            grown += take_escape(raw.front());
            raw.remove_prefix(1);
            continue;
        }
        const std::string_view plain = raw.substr(0, raw.find('\\'));
        grown += plain.size();
        after_high_ = after_high_ && plain.empty();
        raw.remove_prefix(plain.size());
        if (!raw.empty()) {
            after_backslash_ = true;
            raw.remove_prefix(1);
        }
    }
    return grown;
}

/** Returns how many bytes an escape makes that ends here. */
unsigned JsonTextSize::take_escape(char c) {
    if (after_backslash_) {
        after_backslash_ = false;
        unit_ = 0;
        digits_left_ = c == 'u' ? 4 : 0;
        after_high_ = after_high_ && c == 'u';
        return c == 'u' ? 0 : 1;
    }
    unit_ = static_cast<uint16_t>(unit_ << 4 | (hex_digit(c) & 15));
    if (--digits_left_ > 0) {
        return 0;
    }
    const bool completes = after_high_ && is_half(unit_, 0xDC00);
    after_high_ = is_half(unit_, 0xD800);
    return completes ? 1 : after_high_ ? kHalfSize : unit_ < 0x80 ? 1 : unit_ < 0x800 ? 2 : 3;
}

}  // namespace ai_limit
