#pragma once

// The units of a rate: what is counted, and in which period. A new unit is a row here; the compiler
// names the tables that are not in the order of their numbers.

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>

namespace ai_limit {

/** What a policy counts. Zones, state files and Redis hold these numbers. */
enum class Measure : uint8_t { kRequests, kTokens, kInFlight, kMoney, kLast = kMoney };

struct MeasureFacts {
    Measure measure;
    bool is_settled;             // reserved at first, and charged when the answer has ended
    bool in_millionths;          // an Amount is a millionth of what rates and sentences name
    char initial;                // of RPM or TPM; 0: nobody knows it by a letter
    std::string_view rate_word;  // in rates, such as 60r/m; empty: no rate counts it
    std::string_view name;       // in the API
    std::string_view unit;       // in what ai_limit_self tells clients
    std::string_view one, many;  // in sentences
    std::string_view quota;      // in names of quotas: OpenAI's type, Gemini's RequestsPerDay
    std::string_view log_words;  // in the log
    std::string_view redis;      // in the key that announces what a policy counts
    std::string_view redis_key;  // at the end of a key's name in Redis
};

constexpr MeasureFacts kMeasureFacts[] = {
    {Measure::kRequests, false, false, 'R', "r", "requests", "requests", "request", "requests",
     "requests", "requests", ":r", ""},
    {Measure::kTokens, true, false, 'T', "t", "tokens", "tokens", "token", "tokens", "tokens",
     "tokens", ":t", ":t"},
    {Measure::kInFlight, false, false, 0, "", "in_flight", "in_flight", "concurrent request",
     "concurrent requests", "requests", "requests in flight", ":c", ""},
    {Measure::kMoney, true, true, 0, "usd", "money", "usd", "USD", "USD", "budget", "US dollars",
     ":u", ":u"},
};

constexpr size_t kMeasures = std::size(kMeasureFacts);

constexpr const MeasureFacts& facts_of(Measure measure) {
    return kMeasureFacts[static_cast<size_t>(measure)];
}

/**
 * True if a request reserves such an amount when it begins, and is charged when its answer has
 * ended and says what it used.
 */
constexpr bool is_settled(Measure measure) {
    return facts_of(measure).is_settled;
}

enum class PeriodUnit : uint8_t { kSecond, kMinute, kHour, kDay, kWeek, kMonth, kLast = kMonth };

/** `15m` is {15, kMinute}. */
struct Period {
    uint32_t count;
    PeriodUnit unit;
};

struct PeriodFacts {
    std::string_view word;  // in rates
    std::string_view one;   // in sentences,
    std::string_view many;  // of several
    int64_t length;         // in milliseconds, a month being 30 days
    PeriodUnit unit;
    char letter;  // of RPM or TPM; 0 if the letter says something else
};

constexpr int64_t kDayMillis = int64_t{24} * 3600 * 1000;

constexpr PeriodFacts kPeriodFacts[] = {
    {"s", "second", "seconds", 1000, PeriodUnit::kSecond, 'S'},
    {"m", "min", "min", 60 * 1000, PeriodUnit::kMinute, 'M'},
    {"h", "hour", "hours", 3600 * 1000, PeriodUnit::kHour, 'H'},
    {"d", "day", "days", kDayMillis, PeriodUnit::kDay, 'D'},
    {"w", "week", "weeks", 7 * kDayMillis, PeriodUnit::kWeek, 'W'},
    {"month", "month", "months", 30 * kDayMillis, PeriodUnit::kMonth, 0},
};

constexpr const PeriodFacts& facts_of(PeriodUnit unit) {
    return kPeriodFacts[static_cast<size_t>(unit)];
}

constexpr bool are_units_in_order() {
    for (size_t i = 0; i < kMeasures; ++i) {
        if (static_cast<size_t>(kMeasureFacts[i].measure) != i) {
            return false;
        }
    }
    for (size_t i = 0; i < std::size(kPeriodFacts); ++i) {
        if (static_cast<size_t>(kPeriodFacts[i].unit) != i) {
            return false;
        }
    }
    return kMeasureFacts[kMeasures - 1].measure == Measure::kLast &&
           kPeriodFacts[std::size(kPeriodFacts) - 1].unit == PeriodUnit::kLast;
}
static_assert(are_units_in_order(), "each unit has its row, in the order of their numbers");

}  // namespace ai_limit
