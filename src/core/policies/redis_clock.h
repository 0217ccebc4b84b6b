#pragma once

// The clock of policies that several nodes share. It follows the clock of Redis, as far as its
// answers show it. All counts of such a policy in the zone use this clock, so that a state from
// Redis can be taken over as it is, and decided on while Redis is away.

#include "core/zone/zone.h"

namespace ai_limit {

/** Starts the zone's Redis clock with the wall clock, unless it is started already. */
void start_redis_clock(const Zone& zone, Now here);

/**
 * Sets the clock by an answer that came just now and was given at `theirs`, in milliseconds since
 * the epoch. The time that an answer took to arrive is not known: the quickest one is believed,
 * until the clocks are clearly apart.
 */
void set_redis_clock(const Zone& zone, Now here, Millis theirs);

/** Now by that clock: the wall's, and one that never jumps with this node's wall clock. */
inline Now redis_time(const Zone& zone, Now here) {
    const ZoneHeader* header = zone.header();
    Millis wall = here.monotonic + header->redis_clock_offset.load(std::memory_order_relaxed);
    return {wall - header->redis_clock_base.load(std::memory_order_relaxed), wall};
}

/** Now by the clock that the policy of this number counts by. */
inline Now now_of_policy(const Zone& zone, uint32_t policy, Now here) {
    return zone.policy(policy)->in_redis != 0 ? redis_time(zone, here) : here;
}

/** A time of that clock, in milliseconds since the epoch, as its monotonic one, and back. */
inline Millis to_redis_monotonic(const Zone& zone, Millis wall) {
    return wall - zone.header()->redis_clock_base.load(std::memory_order_relaxed);
}
inline Millis to_redis_wall(const Zone& zone, Millis monotonic) {
    return monotonic + zone.header()->redis_clock_base.load(std::memory_order_relaxed);
}

}  // namespace ai_limit
