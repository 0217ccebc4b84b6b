#include "core/upstream/time_text.h"

#include <algorithm>
#include <iterator>

#include "core/words/ascii_case.h"

namespace ai_limit {

namespace {

constexpr uint64_t kNanosPerMilli = 1'000'000;
constexpr uint64_t kLongestNanos = static_cast<uint64_t>(kLongestTimeText) * kNanosPerMilli;

struct UnitRow {
    std::string_view word;
    uint64_t nanos;
};

// A word that begins like another one comes before it.
constexpr UnitRow kUnits[] = {
    {"ns", 1},
    {"us", 1'000},
    {"\xC2\xB5s", 1'000},  // the micro sign, which Go writes
    {"ms", kNanosPerMilli},
    {"h", 3600 * 1000 * kNanosPerMilli},
    {"m", 60 * 1000 * kNanosPerMilli},
    {"s", 1000 * kNanosPerMilli},
};
constexpr const UnitRow& kSecond = kUnits[std::size(kUnits) - 1];

constexpr bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/** A decimal number at the front of a text: its whole part, and billionths. */
struct Decimal {
    uint64_t whole;
    uint64_t billionths;
};

/** Takes a decimal number from the front. False if there is none. */
bool take_decimal(std::string_view* text, Decimal* number) {
    *number = {};
    bool has_digits = false;
    while (!text->empty() && is_digit(text->front())) {
        number->whole = std::min(number->whole * 10 + static_cast<uint64_t>(text->front() - '0'),
                                 kLongestNanos);
        has_digits = true;
        text->remove_prefix(1);
    }
    if (!has_digits || text->empty() || text->front() != '.') {
        return has_digits;
    }
    text->remove_prefix(1);
    has_digits = false;
    for (uint64_t place = 100'000'000; !text->empty() && is_digit(text->front()); place /= 10) {
        number->billionths += place * static_cast<uint64_t>(text->front() - '0');
        has_digits = true;
        text->remove_prefix(1);
    }
    return has_digits;
}

const UnitRow* take_unit(std::string_view* text) {
    for (const UnitRow& unit : kUnits) {
        if (text->substr(0, unit.word.size()) == unit.word) {
            text->remove_prefix(unit.word.size());
            return &unit;
        }
    }
    return nullptr;
}

uint64_t nanos_of(const Decimal& number, const UnitRow& unit) {
    __extension__ typedef unsigned __int128 Wide;
    const Wide billionths = Wide{number.whole} * 1'000'000'000 + number.billionths;
    const Wide nanos = (billionths * unit.nanos + 999'999'999) / 1'000'000'000;
    return nanos < kLongestNanos ? static_cast<uint64_t>(nanos) : kLongestNanos;
}

/** Takes a number of exactly so many digits. */
bool take_digits(std::string_view* text, size_t digits, int64_t* value) {
    if (text->size() < digits) {
        return false;
    }
    *value = 0;
    for (size_t i = 0; i < digits; ++i) {
        if (!is_digit((*text)[i])) {
            return false;
        }
        *value = *value * 10 + ((*text)[i] - '0');
    }
    text->remove_prefix(digits);
    return true;
}

bool take(std::string_view* text, char c) {
    if (text->empty() || lower(text->front()) != c) {
        return false;
    }
    text->remove_prefix(1);
    return true;
}

/** Days from the epoch to a date of the Gregorian calendar (Hinnant's days_from_civil). */
int64_t days_to(int64_t year, int64_t month, int64_t day) {
    year -= month <= 2 ? 1 : 0;
    const int64_t era = year / 400;
    const int64_t year_of_era = year - era * 400;
    const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    const int64_t day_of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146'097 + day_of_era - 719'468;
}

struct DateAndTime {
    int64_t year, month, day, hour, minute, second;
};

bool is_sound(const DateAndTime& t) {
    return t.month >= 1 && t.month <= 12 && t.day >= 1 && t.day <= 31 && t.hour <= 23 &&
           t.minute <= 59 && t.second <= 60 && t.year >= 1970;
}

Millis millis_of(const DateAndTime& t) {
    return (((days_to(t.year, t.month, t.day) * 24 + t.hour) * 60 + t.minute) * 60 + t.second) *
           1000;
}

bool take_clock(std::string_view* text, DateAndTime* t) {
    return take_digits(text, 2, &t->hour) && take(text, ':') && take_digits(text, 2, &t->minute) &&
           take(text, ':') && take_digits(text, 2, &t->second);
}

/** Takes `Z` or `+HH:MM`. */
bool take_offset(std::string_view* text, Millis* offset) {
    *offset = 0;
    if (take(text, 'z')) {
        return true;
    }
    const bool is_east = take(text, '+');
    int64_t hours = 0;
    int64_t minutes = 0;
    if ((!is_east && !take(text, '-')) || !take_digits(text, 2, &hours) || !take(text, ':') ||
        !take_digits(text, 2, &minutes) || hours > 23 || minutes > 59) {
        return false;
    }
    *offset = (hours * 60 + minutes) * (is_east ? 60'000 : -60'000);
    return true;
}

bool read_rfc3339(std::string_view text, Millis* time) {
    DateAndTime t{};
    if (!take_digits(&text, 4, &t.year) || !take(&text, '-') || !take_digits(&text, 2, &t.month) ||
        !take(&text, '-') || !take_digits(&text, 2, &t.day) ||
        (!take(&text, 't') && !take(&text, ' ')) || !take_clock(&text, &t)) {
        return false;
    }
    if (take(&text, '.')) {
        const size_t size = text.size();
        while (!text.empty() && is_digit(text.front())) {
            text.remove_prefix(1);
        }
        if (text.size() == size) {
            return false;
        }
    }
    Millis offset = 0;
    if (!take_offset(&text, &offset) || !text.empty() || !is_sound(t)) {
        return false;
    }
    *time = millis_of(t) - offset;
    return true;
}

bool read_http_date(std::string_view text, Millis* time) {
    constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
    constexpr size_t kDayName = 5;  // "Sun, "
    DateAndTime t{};
    if (text.size() < kDayName || text[3] != ',') {
        return false;
    }
    text.remove_prefix(kDayName);
    if (!take_digits(&text, 2, &t.day) || !take(&text, ' ') || text.size() < 3) {
        return false;
    }
    const size_t month = kMonths.find(text.substr(0, 3));
    if (month == std::string_view::npos || month % 3 != 0) {
        return false;
    }
    t.month = static_cast<int64_t>(month / 3 + 1);
    text.remove_prefix(3);
    if (!take(&text, ' ') || !take_digits(&text, 4, &t.year) || !take(&text, ' ') ||
        !take_clock(&text, &t) || text != " GMT" || !is_sound(t)) {
        return false;
    }
    *time = millis_of(t);
    return true;
}

}  // namespace

bool read_duration(std::string_view text, Millis* length) {
    uint64_t nanos = 0;
    if (text.empty()) {
        return false;
    }
    while (!text.empty()) {
        Decimal number{};
        if (!take_decimal(&text, &number)) {
            return false;
        }
        // Only a number that stands alone may lack a unit.
        const UnitRow* unit = text.empty() && nanos == 0 ? &kSecond : take_unit(&text);
        if (unit == nullptr) {
            return false;
        }
        nanos = std::min(nanos + nanos_of(number, *unit), kLongestNanos);
    }
    *length = static_cast<Millis>((nanos + kNanosPerMilli - 1) / kNanosPerMilli);
    return true;
}

bool read_time(std::string_view text, Millis* time) {
    return read_rfc3339(text, time) || read_http_date(text, time);
}

bool read_time_until(std::string_view text, Millis now, Millis* length) {
    Millis time = 0;
    if (read_duration(text, length)) {
        return true;
    }
    if (!read_time(text, &time)) {
        return false;
    }
    *length = time > now ? std::min(time - now, kLongestTimeText) : 0;
    return true;
}

}  // namespace ai_limit
