#pragma once

#include "core/limits/state.h"
#include "core/zone/zone.h"

namespace ai_limit {

/** True if an entry could have been counted by the limit, which has the entry's algorithm. */
bool fits_entry(const Limit& limit, const State& state);

/**
 * Returns the limit by which an entry was counted, as far as the entry shows. It is the largest
 * among those that the policy has had and that fit, or the policy's slowest if none does.
 */
Limit likely_limit(const Zone& zone, uint32_t policy, const State& state);

}  // namespace ai_limit
