#include "core/words/number.h"

namespace ai_limit {

namespace {

constexpr Amount kMaxExponent = 1000;  // more changes nothing for a number of so few digits
constexpr unsigned kMaxDigits = 18;    // what 64 bits hold whatever the digits are

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/** Takes the digits and the point at the front; false if there are none or too many. */
bool read_mantissa(std::string_view* text, uint64_t* digits, int64_t* scale) {
    constexpr uint64_t kManyDigits = 100'000'000'000'000'000;
    if (text->empty() || !is_digit(text->front())) {
        return false;
    }
    bool fraction = false;
    size_t at = 0;
    for (; at < text->size(); ++at) {
        const char c = (*text)[at];
        if (c == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (!is_digit(c)) {
            break;
        }
        if (*digits >= kManyDigits) {
            return false;
        }
        *digits = *digits * 10 + static_cast<uint64_t>(c - '0');
        *scale -= fraction ? 1 : 0;
    }
    text->remove_prefix(at);
    return true;
}

/** Takes the digits at the front as read_mantissa() does, but however many there are: a digit that
 * has no room only says that something stands there. */
bool read_long_mantissa(std::string_view* text, uint64_t* digits, int64_t* scale) {
    constexpr uint64_t kManyDigits = 100'000'000'000'000'000;
    if (text->empty() || !is_digit(text->front())) {
        return false;
    }
    bool fraction = false;
    bool more = false;
    size_t at = 0;
    for (; at < text->size(); ++at) {
        const char c = (*text)[at];
        if (c == '.' && !fraction) {
            fraction = true;
        } else if (!is_digit(c)) {
            break;
        } else if (*digits >= kManyDigits) {
            more = more || c != '0';
            *scale += fraction ? 0 : 1;
        } else {
            *digits = *digits * 10 + static_cast<uint64_t>(c - '0');
            *scale -= fraction ? 1 : 0;
        }
    }
    *digits += more ? 1 : 0;
    text->remove_prefix(at);
    return true;
}

/** `text` is nothing or an exponent, which is added to `scale`. */
bool read_exponent(std::string_view text, int64_t* scale) {
    if (text.empty()) {
        return true;
    }
    if ((text.front() | 0x20) != 'e') {
        return false;
    }
    text.remove_prefix(1);
    const bool negative = !text.empty() && text.front() == '-';
    const bool sign = negative || (!text.empty() && text.front() == '+');
    text.remove_prefix(sign ? 1 : 0);
    Amount size = 0;
    if (!read_whole(text, kMaxExponent, &size)) {
        return false;
    }
    *scale += negative ? -static_cast<int64_t>(size) : static_cast<int64_t>(size);
    return true;
}

}  // namespace

bool read_whole(std::string_view text, Amount max, Amount* value) {
    if (text.empty()) {
        return false;
    }
    max = max < kMaxAmount ? max : kMaxAmount;
    Amount sum = 0;
    for (char c : text) {
        if (!is_digit(c)) {
            return false;
        }
        Amount digit = static_cast<Amount>(c - '0');
        // kMaxAmount * 10 is far below 2^64, so one step past it cannot overflow.
        sum = sum * 10 + digit;
        if (sum > max) {
            sum = max;
        }
    }
    *value = sum;
    return true;
}

bool read_digits(std::string_view* text, uint64_t* value, unsigned* digits) {
    uint64_t sum = 0;
    unsigned n = 0;
    while (n < text->size() && is_digit((*text)[n])) {
        if (n == kMaxDigits) {
            return false;
        }
        sum = sum * 10 + static_cast<uint64_t>((*text)[n] - '0');
        ++n;
    }
    if (n == 0) {
        return false;
    }
    text->remove_prefix(n);
    *value = sum;
    *digits = n;
    return true;
}

bool read_json_count(std::string_view number, Amount* value) {
    uint64_t digits = 0;
    int64_t scale = 0;  // the number is digits * 10^scale
    if (!read_mantissa(&number, &digits, &scale) || !read_exponent(number, &scale)) {
        return false;
    }
    for (; scale < 0 && digits > 0 && digits % 10 == 0; ++scale) {
        digits /= 10;
    }
    for (; scale > 0 && digits > 0 && digits <= kMaxAmount; --scale) {
        digits *= 10;
    }
    if (digits > kMaxAmount || (digits > 0 && scale < 0)) {
        return false;
    }
    *value = digits;
    return true;
}

bool read_reported_count(std::string_view number, Amount* value, int decimals) {
    uint64_t digits = 0;
    int64_t scale = decimals;  // the number is digits * 10^scale
    if (!read_long_mantissa(&number, &digits, &scale) || !read_exponent(number, &scale)) {
        return false;
    }
    bool rest = false;
    for (; scale < 0 && digits > 0; ++scale) {
        rest = rest || digits % 10 != 0;
        digits /= 10;
    }
    for (; scale > 0 && digits > 0 && digits <= kMaxAmount; --scale) {
        digits *= 10;
    }
    digits += rest ? 1 : 0;
    *value = digits < kMaxAmount ? digits : kMaxAmount;
    return true;
}

}  // namespace ai_limit
