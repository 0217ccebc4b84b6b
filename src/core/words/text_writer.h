#pragma once

// Writes text into memory of the caller's. It never writes past the end: text that does not fit is
// left out, with all text that follows, so the memory has a clean beginning of the whole.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/words/types.h"

namespace ai_limit {

/** The largest Integer of a structured field (RFC 9651, 3.3.1): 15 digits. */
constexpr uint64_t kMaxSeconds = 999'999'999'999'999;

/** Whole seconds, rounded up: 0 for what is past, kMaxSeconds at most. */
constexpr uint64_t seconds_rounded_up(Millis length) {
    if (length <= 0) {
        return 0;
    }
    const uint64_t seconds = (static_cast<uint64_t>(length) + 999) / 1000;
    return seconds < kMaxSeconds ? seconds : kMaxSeconds;
}

/** The smallest number with one digit more than the index says; 0 has a digit of its own. */
inline constexpr uint64_t kPowersOfTen[] = {
    0,
    10,
    100,
    1'000,
    10'000,
    100'000,
    1'000'000,
    10'000'000,
    100'000'000,
    1'000'000'000,
    10'000'000'000,
    100'000'000'000,
    1'000'000'000'000,
    10'000'000'000'000,
    100'000'000'000'000,
    1'000'000'000'000'000,
    10'000'000'000'000'000,
    100'000'000'000'000'000,
    1'000'000'000'000'000'000,
    10'000'000'000'000'000'000U,
};

/** Returns the number of decimal digits of a number; 0 has one. */
constexpr size_t decimal_digits(uint64_t value) {
    // bits * log10(2) is the number of digits or one less; the power shows which
    const unsigned bits = 64 - static_cast<unsigned>(__builtin_clzll(value | 1));
    const unsigned digits = (bits * 1233) >> 12;
    return digits + (value >= kPowersOfTen[digits] ? 1 : 0);
}

constexpr size_t kMaxDigits = 20;  // of a 64-bit number

/** Two digits, of a number below 100. */
inline const char* digit_pair(uint64_t value) {
    static constexpr char kPairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142"
        "43444546474849505152535455565758596061626364656667686970717273747576777879808182838485"
        "8687888990919293949596979899";
    return kPairs + 2 * value;
}

/** Writes a number's decimal_digits() digits to `at`. Returns where they end. */
inline char* put_digits(char* at, uint64_t value) {
    char* end = at + decimal_digits(value);
    char* p = end;
    for (; value > UINT32_MAX; value /= 100) {
        p -= 2;
        std::memcpy(p, digit_pair(value % 100), 2);
    }
    // Half the work of 64 bits.
    auto rest = static_cast<uint32_t>(value);
    while (rest >= 100) {
        const uint32_t hundreds = rest / 100;
        p -= 2;
        std::memcpy(p, digit_pair(rest - hundreds * 100), 2);
        rest = hundreds;
    }
    if (rest >= 10) {
        std::memcpy(p - 2, digit_pair(rest), 2);
    } else {
        p[-1] = static_cast<char>('0' + rest);
    }
    return end;
}

/** The most bytes that put_millionths() writes. */
constexpr size_t kMaxMillionthsText = kMaxDigits + 1;

/** Writes a number of millionths, with as many decimals as it takes. Returns where they end. */
inline char* put_millionths(char* at, uint64_t count) {
    constexpr uint64_t kWhole = 1'000'000;
    char* p = put_digits(at, count / kWhole);
    uint64_t fraction = count % kWhole;
    if (fraction != 0) {
        *p++ = '.';
    }
    for (uint64_t unit = kWhole / 10; fraction != 0; unit /= 10) {
        *p++ = static_cast<char>('0' + fraction / unit);
        fraction %= unit;
    }
    return p;
}

/** Appends to a buffer that outlives it; see the top of this file for what happens at its end. */
class TextWriter {
public:
    TextWriter(char* buffer, size_t size)
        : begin_(buffer), taken_(buffer), at_(buffer), end_(buffer + size) {}

    void text(std::string_view piece) {
        if (piece.empty() || !fits(piece.size())) {
            return;
        }
        std::memcpy(at_, piece.data(), piece.size());
        at_ += piece.size();
    }

    /** In decimal digits. */
    void number(uint64_t value) {
        if (fits(decimal_digits(value))) {
            at_ = put_digits(at_, value);
        }
    }

    /** Exactly two digits, for clocks and calendars; value is below 100. */
    void two_digits(unsigned value) { text({digit_pair(value), 2}); }

    /** Whole seconds, rounded up. */
    void whole_seconds(Millis length) { number(seconds_rounded_up(length)); }

    /** Seconds with as many decimals as it takes, three at most: `1.234`, `1.5`, `60`. */
    void seconds(Millis length) { thousandths(length > 0 ? static_cast<uint64_t>(length) : 0); }

    /** The same for a number of thousandths. */
    void thousandths(uint64_t count) {
        const auto fraction = static_cast<unsigned>(count % 1000);
        number(count / 1000);
        if (fraction == 0) {
            return;
        }
        const char digits[] = {'.', static_cast<char>('0' + fraction / 100),
                               static_cast<char>('0' + fraction / 10 % 10),
                               static_cast<char>('0' + fraction % 10)};
        const size_t length_used = fraction % 10 != 0 ? 4 : fraction % 100 != 0 ? 3 : 2;
        text({digits, length_used});
    }

    /** A number of millionths, with as many decimals as it takes: `4.873215`, `0.5`, `20`. */
    void millionths(uint64_t count) {
        char digits[kMaxMillionthsText];
        text({digits, static_cast<size_t>(put_millionths(digits, count) - digits)});
    }

    /**
     * Writes the text between the quotes of a JSON string. Bytes that are not UTF-8 become U+FFFD.
     */
    void json(std::string_view piece) {
        while (!piece.empty()) {
            const size_t length = plain_length(piece);
            if (length > 0) {
                text({piece.data(), length});
                piece.remove_prefix(length);
                continue;
            }
            json_escape(piece.front());
            piece.remove_prefix(1);
        }
    }

    bool overflowed() const { return overflowed_; }

    /** All that was written. */
    std::string_view view() const { return {begin_, static_cast<size_t>(at_ - begin_)}; }

    /** Returns the text written since the last take(), so several values can share one buffer. */
    std::string_view take() {
        const std::string_view taken{taken_, static_cast<size_t>(at_ - taken_)};
        taken_ = at_;
        return taken;
    }

private:
    bool fits(size_t size) {
        if (size <= static_cast<size_t>(end_ - at_)) {
            return true;
        }
        overflowed_ = true;
        end_ = at_;
        return false;
    }

    void json_escape(char c) {
        static constexpr char kHex[] = "0123456789abcdef";
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            const char escaped[] = {'\\', c};
            text({escaped, sizeof escaped});
        } else if (byte < 0x20) {
            const char escaped[] = {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
            text({escaped, sizeof escaped});
        } else {
            text("\\ufffd");
        }
    }

    /** Returns the number of bytes from the first on that a JSON string can have as they are. */
    static size_t plain_length(std::string_view piece) {
        size_t length = 0;
        while (length < piece.size()) {
            const auto byte = static_cast<unsigned char>(piece[length]);
            if (byte < 0x20 || byte == '"' || byte == '\\') {
                break;
            }
            const size_t character =
                byte < 0x80 ? 1 : utf8_length({piece.data() + length, piece.size() - length});
            if (character == 0) {
                break;
            }
            length += character;
        }
        return length;
    }

    /** Bytes of the character of two bytes or more that the text begins with; 0 if it is none.
     */
    static size_t utf8_length(std::string_view piece) {
        const auto lead = static_cast<unsigned char>(piece[0]);
        const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
        if (lead < 0xC2 || lead > 0xF4 || piece.size() < length) {
            return 0;
        }
        for (size_t i = 1; i < length; i++) {
            if ((static_cast<unsigned char>(piece[i]) & 0xC0) != 0x80) {
                return 0;
            }
        }
        // the second byte shows overlong forms, surrogates and what is beyond U+10FFFF (RFC 3629,
        // 4)
        const auto second = static_cast<unsigned char>(piece[1]);
        const bool wrong = (lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
                           (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F);
        return wrong ? 0 : length;
    }

    char* begin_;
    char* taken_;
    char* at_;
    char* end_;
    bool overflowed_ = false;
};

}  // namespace ai_limit
