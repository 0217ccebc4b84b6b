#include "core/prices/price_table.h"
#include "core/words/json_bytes.h"
#include "prices/price.h"

namespace ai_limit {

namespace {

__extension__ typedef unsigned __int128 Wide;

/** A number is digits * 10^scale, and a little more if `rest`. */
struct Decimal {
    Wide digits = 0;
    int64_t scale = 0;
    bool rest = false;

    // Digits behind the first 30 or so make the number finer than any price is.
    void add(char c, bool behind_point) {
        if (digits > ~Wide{0} / 100) {
            rest = rest || c != '0';
            scale += behind_point ? 0 : 1;
            return;
        }
        digits = digits * 10 + static_cast<unsigned>(c - '0');
        scale -= behind_point ? 1 : 0;
    }
};

/** An exponent. A file is too short for one of more than a billion to matter. */
int64_t read_exponent(std::string_view text) {
    constexpr int64_t kMost = 1'000'000'000;
    const bool negative = !text.empty() && text.front() == '-';
    int64_t size = 0;
    for (const char c : text) {
        if (is_digit(c) && size < kMost) {
            size = size * 10 + (c - '0');
        }
    }
    return negative ? -size : size;
}

Decimal read_decimal(std::string_view number) {
    Decimal decimal;
    bool behind_point = false;
    while (!number.empty()) {
        const char c = number.front();
        number.remove_prefix(1);
        if ((c | 0x20) == 'e') {
            decimal.scale += read_exponent(number);
            break;
        }
        if (is_digit(c)) {
            decimal.add(c, behind_point);
        } else {
            // The point, or what stands for it in the locale: the parser puts that there.
            behind_point = true;
        }
    }
    return decimal;
}

constexpr int64_t kPriceDecimals = 12;
static_assert(kPriceOfADollar == 1'000'000'000'000);

}  // namespace

PriceError read_price(std::string_view number, uint64_t* price) {
    const bool negative = !number.empty() && number.front() == '-';
    number.remove_prefix(negative ? 1 : 0);
    Decimal decimal = read_decimal(number);
    if (decimal.digits == 0 && !decimal.rest) {
        *price = 0;
        return PriceError::kNone;
    }
    if (negative) {
        return PriceError::kNegative;
    }
    decimal.scale += kPriceDecimals;
    for (; decimal.scale < 0 && decimal.digits > 0; ++decimal.scale) {
        decimal.rest = decimal.rest || decimal.digits % 10 != 0;
        decimal.digits /= 10;
    }
    for (; decimal.scale > 0 && decimal.digits <= kMaxPrice; --decimal.scale) {
        decimal.digits *= 10;
    }
    decimal.digits += decimal.rest ? 1 : 0;
    if (decimal.digits > kMaxPrice) {
        return PriceError::kTooHigh;
    }
    *price = static_cast<uint64_t>(decimal.digits);
    return PriceError::kNone;
}

}  // namespace ai_limit
