#include "core/number.h"

namespace ai_limit {

namespace {

constexpr unsigned kMaxDigits = 18;  // what 64 bits hold whatever the digits are

bool is_digit(char c) {
    return c >= '0' && c <= '9';
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

}  // namespace ai_limit
