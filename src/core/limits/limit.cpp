#include "core/limits/limit.h"

#include <cstring>

#include "core/limits/algorithm_row.h"

namespace ai_limit {

namespace {

__extension__ typedef unsigned __int128 Wide;

constexpr Millis kNoEnd = Millis{1} << 62;

Millis time_to_fill(const Limit& limit) {
    Wide parts = Wide{limit.capacity} * limit.refill_millis;
    Wide fills_in = (parts + limit.refill_amount - 1) / limit.refill_amount;
    return fills_in < Wide{kNoEnd} ? static_cast<Millis>(fills_in) : kNoEnd;
}

/** A byte that is neither 0 nor 1 must not be read as a bool. */
bool has_sound_flag(const Limit& limit) {
    unsigned char by_wall = 0;
    std::memcpy(&by_wall, &limit.by_wall, sizeof(by_wall));
    return by_wall <= 1;
}

}  // namespace

Limit basic_limit(Algorithm algorithm, const Rate& rate, Amount capacity) {
    Limit limit{};
    limit.algorithm = algorithm;
    limit.measure = rate.measure;
    limit.period = rate.period;
    limit.capacity = capacity;
    limit.period_length = rate.period_length;
    return limit;
}

bool has_sound_period(const Limit& limit) {
    constexpr Millis kMaxTimeZone = Millis{14} * 3600 * 1000;
    return limit.period.count != 0 && limit.period.unit <= PeriodUnit::kLast &&
           limit.period_length == length_of(limit.period) && limit.period_length <= kMaxPeriod &&
           limit.time_zone >= -kMaxTimeZone && limit.time_zone <= kMaxTimeZone;
}

bool has_sound_refill(const Limit& limit) {
    return limit.refill_amount != 0 && limit.refill_amount >> 63 == 0 && limit.refill_millis != 0 &&
           limit.refill_millis < kMaxRefillMillis && limit.fills_in == time_to_fill(limit);
}

Limit token_bucket_limit(const Rate& rate, Amount burst) {
    Amount capacity = rate.quota == 0 ? 0 : burst != 0 ? burst : rate.quota;
    Limit limit = basic_limit(Algorithm::kTokenBucket, rate, capacity);
    // A rate of nothing has no refill, so that a key that is blocked for a while does not get back
    // what it has used. One unit in two years keeps the divisions defined.
    limit.refill_amount = rate.refill_amount != 0 ? rate.refill_amount : 1;
    limit.refill_millis = rate.refill_amount != 0 ? rate.refill_millis : kMaxRefillMillis - 1;
    limit.fills_in = time_to_fill(limit);
    return limit;
}

Limit sliding_window_limit(const Rate& rate) {
    return basic_limit(Algorithm::kSlidingWindow, rate, rate.quota);
}

Limit fixed_window_limit(const Rate& rate, Millis time_zone) {
    Limit limit = basic_limit(Algorithm::kFixedWindow, rate, rate.quota);
    limit.time_zone = time_zone;
    return limit;
}

Limit concurrency_limit(Amount slots) {
    Limit limit{};
    limit.algorithm = Algorithm::kConcurrency;
    limit.measure = Measure::kInFlight;
    limit.capacity = slots;
    return limit;
}

Limit reservation_limit() {
    Limit limit{};
    limit.algorithm = Algorithm::kReservation;
    limit.measure = Measure::kTokens;
    limit.capacity = kMaxAmount;
    return limit;
}

Limit ledger_limit() {
    Limit limit{};
    limit.algorithm = Algorithm::kLedger;
    limit.capacity = kMaxAmount;
    return limit;
}

Limit sharer_limit(bool of_slots) {
    Limit limit{};
    limit.algorithm = of_slots ? Algorithm::kSharerOfSlots : Algorithm::kSharer;
    limit.capacity = kMaxAmount;
    return limit;
}

const char* make_limit(Algorithm algorithm, const Rate& rate, Amount burst, Millis time_zone,
                       Limit* limit) {
    return row_of(algorithm).make_limit(rate, burst, time_zone, limit);
}

bool is_sound(const Limit& limit) {
    return limit.algorithm <= Algorithm::kLast && limit.measure <= Measure::kLast &&
           limit.capacity <= kMaxAmount && limit.rate_number <= kNoRateNumber &&
           limit.variant < kMaxVariants && has_sound_flag(limit) &&
           row_of(limit.algorithm).is_sound_limit(limit);
}

}  // namespace ai_limit
