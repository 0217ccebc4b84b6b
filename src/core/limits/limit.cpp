#include "core/limits/limit.h"

#include <cstring>

namespace ai_limit {

namespace {

__extension__ typedef unsigned __int128 Wide;

constexpr Millis kNoEnd = Millis{1} << 62;

Limit limit_of(Algorithm algorithm, const Rate& rate, Amount capacity) {
    Limit limit{};
    limit.algorithm = algorithm;
    limit.measure = rate.measure;
    limit.period = rate.period;
    limit.capacity = capacity;
    limit.period_length = rate.period_length;
    return limit;
}

Millis time_to_fill(const Limit& limit) {
    Wide parts = Wide{limit.capacity} * limit.refill_millis;
    Wide fills_in = (parts + limit.refill_amount - 1) / limit.refill_amount;
    return fills_in < Wide{kNoEnd} ? static_cast<Millis>(fills_in) : kNoEnd;
}

bool has_sound_period(const Limit& limit) {
    constexpr Millis kMaxTimeZone = Millis{14} * 3600 * 1000;
    return limit.period.count != 0 && limit.period.unit <= PeriodUnit::kMonth &&
           limit.period_length == length_of(limit.period) && limit.period_length <= kMaxPeriod &&
           limit.time_zone >= -kMaxTimeZone && limit.time_zone <= kMaxTimeZone;
}

bool has_sound_refill(const Limit& limit) {
    return limit.refill_amount != 0 && limit.refill_amount >> 63 == 0 && limit.refill_millis != 0 &&
           limit.refill_millis < kMaxRefillMillis && limit.fills_in == time_to_fill(limit);
}

/** A byte that is neither 0 nor 1 must not be read as a bool. */
bool has_sound_flag(const Limit& limit) {
    unsigned char by_wall = 0;
    std::memcpy(&by_wall, &limit.by_wall, sizeof(by_wall));
    return by_wall <= 1;
}

}  // namespace

Limit token_bucket_limit(const Rate& rate, Amount burst) {
    Amount capacity = rate.quota == 0 ? 0 : burst != 0 ? burst : rate.quota;
    Limit limit = limit_of(Algorithm::kTokenBucket, rate, capacity);
    // A rate of nothing has no refill, so that a key that is blocked for a while does not get back
    // what it has used. One unit in two years keeps the divisions defined.
    limit.refill_amount = rate.refill_amount != 0 ? rate.refill_amount : 1;
    limit.refill_millis = rate.refill_amount != 0 ? rate.refill_millis : kMaxRefillMillis - 1;
    limit.fills_in = time_to_fill(limit);
    return limit;
}

Limit sliding_window_limit(const Rate& rate) {
    return limit_of(Algorithm::kSlidingWindow, rate, rate.quota);
}

Limit fixed_window_limit(const Rate& rate, Millis time_zone) {
    Limit limit = limit_of(Algorithm::kFixedWindow, rate, rate.quota);
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

const char* make_limit(Algorithm algorithm, const Rate& rate, Amount burst, Millis time_zone,
                       Limit* limit) {
    if (algorithm == Algorithm::kTokenBucket) {
        *limit = token_bucket_limit(rate, burst);
        return nullptr;
    }
    if (!rate.whole) {
        return "a window counts a whole number: name a longer period, such as 1r/2s for 0.5r/s";
    }
    if (algorithm == Algorithm::kSlidingWindow) {
        if (rate.quota > kMaxSlidingQuota) {
            return "a sliding_window holds at most 4294967295: use fixed_window or token_bucket";
        }
        *limit = sliding_window_limit(rate);
        return nullptr;
    }
    *limit = fixed_window_limit(rate, time_zone);
    return nullptr;
}

bool is_sound(const Limit& limit) {
    if (limit.algorithm > Algorithm::kLedger || limit.measure > Measure::kInFlight ||
        limit.capacity > kMaxAmount || limit.rate_number > kNoRateNumber ||
        limit.variant >= kMaxVariants || !has_sound_flag(limit)) {
        return false;
    }
    switch (limit.algorithm) {
        case Algorithm::kTokenBucket:
            return has_sound_period(limit) && has_sound_refill(limit);
        case Algorithm::kSlidingWindow:
            return has_sound_period(limit) && limit.capacity <= kMaxSlidingQuota;
        case Algorithm::kFixedWindow:
            return has_sound_period(limit);
        case Algorithm::kConcurrency:
        case Algorithm::kReservation:
            return true;
        case Algorithm::kLedger:
            return limit.period_length >= 0 && limit.period_length <= kMaxPeriod;
    }
    return false;
}

}  // namespace ai_limit
