#pragma once

#include <string_view>

#include "core/words/types.h"

namespace ai_limit {

/** The longest period that a rate may name: 366 days. */
constexpr Millis kMaxPeriod = Millis{366} * 24 * 3600 * 1000;

/** Every `refill_millis` is below this, so that a state has room for its fraction (token_bucket.h).
 */
constexpr uint64_t kMaxRefillMillis = uint64_t{1} << 36;

/**
 * A rate such as `100kt/m`. `refill_amount` comes back every `refill_millis`, in lowest terms,
 * exactly. A month is 30 days here; fixed windows deal with calendar months.
 */
struct Rate {
    Measure measure;  // one that has a word in rates
    Period period;
    Millis period_length;
    Amount quota;  // the number, rounded up to a whole Amount; 0: nothing ever passes
    bool whole;    // the number was a whole one, of millionths of a dollar for money
    uint64_t refill_amount;
    uint64_t refill_millis;  // below kMaxRefillMillis
};

/**
 * Reads `<number>[k|M|G]<r|t|usd>/[n]<s|m|h|d|w|month>`, the entire text.
 * Returns nullptr, or a static text that says what is wrong; `rate` is then untouched.
 */
const char* parse_rate(std::string_view text, Rate* rate);

/** The length of a period, a month being 30 days. */
Millis length_of(Period period);

/**
 * Reads a time zone `+HH:MM` or `-HH:MM`, at most 14 hours, as milliseconds east of UTC.
 * False if the text is none.
 */
bool parse_time_zone(std::string_view text, Millis* offset);

}  // namespace ai_limit
