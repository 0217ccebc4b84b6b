#pragma once

#include "core/limits/algorithm_row.h"
#include "core/limits/limit.h"
#include "core/limits/state.h"

namespace ai_limit::sliding_window {

// In any interval of the period's length, at most the quota passes. The period is cut into eight
// sub-windows, each of which counts whole. The newest comes back a period after its last charge.
// The others come back a period after their end, which is in the past, so nobody waits for more
// than a period. A charge at the beginning of a sub-window comes back up to an eighth of a period
// late.

/** Brings the state to `now`: sub-windows that have left count no more. */
void advance(const Limit& limit, SlidingWindowState* state, Millis now);

/** Returns the amount that counts after an advance. */
Amount used(const SlidingWindowState& state);

/** Charges `cost` to the sub-window of `now`, to which the state was advanced; used + cost must fit
 * the limit. */
void add(SlidingWindowState* state, Amount cost, Millis now);

/**
 * Charges a cost that need not fit to a state that was advanced to an earlier moment. The
 * sub-window's count stops at 2^32 - 1.
 */
void add_any(SlidingWindowState* state, Amount cost, Millis now);

/**
 * Counts by another clock, which shows `to` where this one, to which the state was advanced, shows
 * `from`. Nothing leaves earlier than it would have, and all up to one sub-window later.
 */
void move_clock(SlidingWindowState* state, Millis from, Millis to);

/**
 * Returns the milliseconds from `now` until at least `amount` of what is used have come back, at
 * most the period. They count from the last charge if `now` is earlier than that: another process
 * may have made it by its own reading of the clock.
 */
Millis until_back(const SlidingWindowState& state, Amount amount, Millis now);

extern const AlgorithmRow kRow;

}  // namespace ai_limit::sliding_window
