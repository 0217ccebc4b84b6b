#pragma once

// The clock of policies that several nodes share: Redis's, as far as its answers tell it. All that
// such a policy counts in the zone is counted by it, so that what Redis says can be taken over as
// it is, and decided on where Redis is away.

#include "core/zone.h"

namespace ai_limit {

/** Starts the zone's shared clock with the wall clock, where nobody has yet. */
void start_shared_clock(const Zone& zone, Now here);

/**
 * Sets it by an answer that came just now and was given at `theirs`, in milliseconds since the
 * epoch. What an answer was under way is not known: the one that came quickest is believed, until
 * the clocks are clearly apart.
 */
void set_shared_clock(const Zone& zone, Now here, Millis theirs);

/** Now by that clock: the wall's, and one that never jumps with this node's wall clock. */
inline Now shared_now(const Zone& zone, Now here) {
    const ZoneHeader* header = zone.header();
    Millis wall = here.monotonic + header->shared_offset.load(std::memory_order_relaxed);
    return {wall - header->shared_base.load(std::memory_order_relaxed), wall};
}

/** Now by the clock that the policy of this number counts by. */
inline Now now_of_policy(const Zone& zone, uint32_t policy, Now here) {
    return zone.policy(policy)->is_shared != 0 ? shared_now(zone, here) : here;
}

/** A time of that clock, in milliseconds since the epoch, as its monotonic one, and back. */
inline Millis to_shared_monotonic(const Zone& zone, Millis wall) {
    return wall - zone.header()->shared_base.load(std::memory_order_relaxed);
}
inline Millis to_shared_wall(const Zone& zone, Millis monotonic) {
    return monotonic + zone.header()->shared_base.load(std::memory_order_relaxed);
}

}  // namespace ai_limit
