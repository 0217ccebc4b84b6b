#include "core/policies/likely_limit.h"

#include "core/policies/policies.h"

namespace ai_limit {

bool fits_entry(const Limit& limit, const State& state) {
    switch (limit.algorithm) {
        case Algorithm::kTokenBucket:
            return state.token_bucket.rate == limit.rate_number;
        case Algorithm::kSlidingWindow:
            return Millis{state.sliding_window.period_seconds} * 1000 == limit.period_length;
        case Algorithm::kFixedWindow: {
            // A month is not always as long.
            Millis length =
                (Millis{state.fixed_window.end} - Millis{state.fixed_window.start}) * 1000;
            Millis shortest = limit.period.unit == PeriodUnit::kMonth
                                  ? limit.period_length / 30 * 28
                                  : limit.period_length;
            return length >= shortest && length <= limit.period_length / 30 * 32;
        }
        default:
            return true;
    }
}

Limit likely_limit(const Zone& zone, uint32_t policy, const State& state) {
    Limit best = find_limit(zone, policy, 0);
    bool found = false;
    for (uint32_t number = 1; number <= kMaxKnownLimits; ++number) {
        const KnownLimit& known = zone.policy(policy)->limits[number - 1];
        if (known.state.load(std::memory_order_acquire) == KnownLimit::kKnown &&
            fits_entry(known.limit, state) && (!found || known.limit.capacity > best.capacity)) {
            best = known.limit;
            found = true;
        }
    }
    return best;
}

}  // namespace ai_limit
