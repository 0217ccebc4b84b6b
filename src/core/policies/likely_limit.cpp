#include "core/policies/likely_limit.h"

#include "core/limits/algorithm_row.h"
#include "core/policies/policies.h"

namespace ai_limit {

bool fits_entry(const Limit& limit, const State& state) {
    return row_of(limit.algorithm).fits_entry(limit, state);
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
