#include "core/limits/rate.h"

#include "core/words/number.h"

namespace ai_limit {

namespace {

__extension__ typedef unsigned __int128 Wide;

constexpr unsigned kMaxDecimals = 9;
constexpr unsigned kMillion = 1'000'000;

Wide greatest_common_divisor(Wide a, Wide b) {
    while (b != 0) {
        Wide rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/** A positive fraction. */
struct Number {
    Wide numerator;
    uint64_t denominator;
};

const char* parse_number(std::string_view* text, Number* number) {
    uint64_t whole = 0;
    unsigned digits = 0;
    if (!read_digits(text, &whole, &digits)) {
        return "a rate begins with a number, such as 60r/m";
    }
    uint64_t fraction = 0;
    uint64_t scale = 1;
    if (!text->empty() && text->front() == '.') {
        text->remove_prefix(1);
        if (!read_digits(text, &fraction, &digits) || digits > kMaxDecimals) {
            return "1 to 9 digits belong behind the point of a number";
        }
        while (digits-- > 0) {
            scale *= 10;
        }
    }
    uint64_t factor = 1;
    if (!text->empty()) {
        switch (text->front()) {
            case 'k':
            case 'K':
                factor = 1000;
                break;
            case 'M':
                factor = 1000 * 1000;
                break;
            case 'G':
                factor = 1000 * 1000 * 1000;
                break;
            default:
                break;
        }
        text->remove_prefix(factor > 1 ? 1 : 0);
    }
    number->numerator = (Wide{whole} * scale + fraction) * factor;
    number->denominator = scale;
    if (number->numerator > Wide{kMaxAmount} * scale) {
        return "the number is above 1000G";
    }
    return nullptr;
}

bool read_measure(std::string_view* text, Measure* measure) {
    for (const MeasureFacts& row : kMeasureFacts) {
        const size_t size = row.rate_word.size();
        if (size != 0 && text->size() > size && text->substr(0, size) == row.rate_word &&
            (*text)[size] == '/') {
            *measure = row.measure;
            text->remove_prefix(size + 1);
            return true;
        }
    }
    return false;
}

/** Turns a number of what the unit names into amounts of it. */
const char* count_in_amounts(Measure measure, Number* number) {
    if (!facts_of(measure).in_millionths) {
        return nullptr;
    }
    number->numerator *= kMillion;  // 1000G of nine decimals is far below 2^128 / kMillion
    if (number->numerator > Wide{kMaxAmount} * number->denominator) {
        return "a rate in usd is at most 1Musd";
    }
    return number->numerator % number->denominator == 0
               ? nullptr
               : "a rate in usd counts millionths of a dollar: the number has more than six digits "
                 "behind its point";
}

const char* parse_period(std::string_view text, Period* period, Millis* length) {
    uint64_t count = 1;
    unsigned digits = 0;
    if (!text.empty() && text.front() >= '0' && text.front() <= '9' &&
        (!read_digits(&text, &count, &digits) || count == 0)) {
        return "the number of periods is out of range";
    }
    for (const PeriodFacts& row : kPeriodFacts) {
        if (text == row.word) {
            if (count > static_cast<uint64_t>(kMaxPeriod / row.length)) {
                return "the period is longer than 366 days";
            }
            *period = {static_cast<uint32_t>(count), row.unit};
            *length = static_cast<Millis>(count) * row.length;
            return nullptr;
        }
    }
    return "the period is one of s, m, h, d, w, month, or several of one, such as 15m";
}

}  // namespace

const char* parse_rate(std::string_view text, Rate* rate) {
    Number number;
    if (const char* error = parse_number(&text, &number)) {
        return error;
    }
    Rate result{};
    if (!read_measure(&text, &result.measure)) {
        return "the unit is r (requests), t (LLM tokens) or usd (US dollars) and a slash, such as "
               "60r/m or 20usd/d";
    }
    if (const char* error = count_in_amounts(result.measure, &number)) {
        return error;
    }
    if (const char* error = parse_period(text, &result.period, &result.period_length)) {
        return error;
    }
    result.quota =
        static_cast<Amount>((number.numerator + number.denominator - 1) / number.denominator);
    result.whole = number.numerator % number.denominator == 0;

    Wide millis = Wide{number.denominator} * static_cast<uint64_t>(result.period_length);
    Wide divisor = greatest_common_divisor(number.numerator, millis);
    if (millis / divisor >= kMaxRefillMillis || (number.numerator / divisor) >> 63 != 0) {
        return "the number has too many digits behind its point for such a period";
    }
    result.refill_amount = static_cast<uint64_t>(number.numerator / divisor);
    result.refill_millis = static_cast<uint64_t>(millis / divisor);
    *rate = result;
    return nullptr;
}

Millis length_of(Period period) {
    return static_cast<Millis>(period.count) * facts_of(period.unit).length;
}

bool parse_time_zone(std::string_view text, Millis* offset) {
    Amount hours = 0;
    Amount minutes = 0;
    if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':' ||
        !read_whole(text.substr(1, 2), 99, &hours) ||
        !read_whole(text.substr(4, 2), 99, &minutes) || minutes > 59 ||
        hours * 60 + minutes > 14 * 60) {
        return false;
    }
    Millis east = static_cast<Millis>(hours * 60 + minutes) * 60 * 1000;
    *offset = text[0] == '-' ? -east : east;
    return true;
}

}  // namespace ai_limit
