#include "core/limit.h"

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

}  // namespace

Limit token_bucket_limit(const Rate& rate, Amount burst) {
    Amount capacity = rate.quota == 0 ? 0 : burst != 0 ? burst : rate.quota;
    Limit limit = limit_of(Algorithm::kTokenBucket, rate, capacity);
    // A rate of nothing has no refill: one unit in a period keeps the divisions defined, capacity 0
    // rules.
    limit.refill_amount = rate.refill_amount != 0 ? rate.refill_amount : 1;
    limit.refill_millis = rate.refill_millis;
    Wide fills_in =
        (Wide{capacity} * limit.refill_millis + limit.refill_amount - 1) / limit.refill_amount;
    limit.fills_in = fills_in < Wide{kNoEnd} ? static_cast<Millis>(fills_in) : kNoEnd;
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

Limit hold_limit() {
    Limit limit{};
    limit.algorithm = Algorithm::kHold;
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

}  // namespace ai_limit
