#pragma once

#include "core/decide/charge.h"

namespace ai_limit {

/**
 * Decide on token buckets of one zone whose entries exist, that have enough left, and that nobody
 * else is changing: nearly all decisions. They return false if one is not like that. Then nothing
 * has been changed.
 */
bool admit_one_at_once(PolicyCharge* charge, Millis now);
bool admit_all_at_once(PolicyCharge* charges, size_t n, Millis now);

/** Decides on any charges. */
bool admit_step_by_step(PolicyCharge* charges, size_t n, const Now& now);

/**
 * Decides on all charges as one: either each is charged, or none is. A dry-run charge that does not
 * fit is left out. Returns true if the request passes. Takes at most kMaxSetPolicies charges. It is
 * exact over all processes: the buckets of all charges are locked, in the order of their addresses.
 * Charges with a reservation, and those of policies in Redis, must be admitted step by step.
 */
inline bool admit(PolicyCharge* charges, size_t n, const Now& now) {
    bool at_once = n == 1 ? admit_one_at_once(charges, now.monotonic)
                          : admit_all_at_once(charges, n, now.monotonic);
    return at_once || admit_step_by_step(charges, n, now);
}

/**
 * Returns what admit() would return for the charges now, unless it found no room for them. It
 * charges nothing if they would pass. It is for a request that is not yet known in full. The
 * charges can be admitted later.
 */
bool would_admit(PolicyCharge* charges, size_t n, const Now& now);

/**
 * Weighs the charges as admit() does: each gets its verdict and its state, and a sharer its part.
 * Nothing is charged or marked, so a key that was never seen stays unknown.
 */
void look_at_charges(PolicyCharge* charges, size_t n, const Now& now);

/** Gives back the slot of a charge that was in flight. */
void end_flight(ZoneAccess* access, FlightRecord* flight);

/**
 * Reserves more for a charge with a reservation that passed, until it is settled: as much of `more`
 * as fits, or all of it if others have decided that it does. Returns how much has been reserved. A
 * charge without a reservation gets one. If the zone has no room for that, it is granted without
 * being counted, unless `on_full` is kReject.
 */
Amount grow_charge(PolicyCharge* charge, Amount more, bool is_decided, const Now& now);

/**
 * Charges what a request truly used, at most kMaxAmount, in place of its reservation. Call this
 * once, for a charge with a reservation that passed. Returns how much of it is above the limit.
 * Leaves the key's new state in `after`, if it is counted.
 */
Amount settle_charge(PolicyCharge* charge, Amount tokens, const Now& now, State* after = nullptr);

}  // namespace ai_limit
