#pragma once

#include "core/limit.h"
#include "core/state.h"

namespace ai_limit::sliding_window {

// In any interval of the period's length at most the quota passes. The period is cut into eight
// sub-windows, each of which counts whole until all of it is a period ago: what was used comes back
// between one period and nine eighths of one later.

/** Brings the state to `now`: sub-windows that have left count no more. */
void advance(const Limit& limit, SlidingWindowState* state, Millis now);

/** What counts after an advance. */
Amount used(const SlidingWindowState& state);

/** Counts `cost` in the newest sub-window; used + cost must fit the limit. */
void add(SlidingWindowState* state, Amount cost);

/** The same for a cost that need not fit; the newest sub-window's count stops at 2^32 - 1. */
void add_any(SlidingWindowState* state, Amount cost);

/**
 * Counts by another clock, which shows `to` where this one, to which the state was advanced, shows
 * `from`. Nothing leaves earlier than it would have, and all up to one sub-window later.
 */
void move_clock(SlidingWindowState* state, Millis from, Millis to);

/** Milliseconds from `now` until at least `amount` of what is used have come back. */
Millis until_back(const SlidingWindowState& state, Amount amount, Millis now);

}  // namespace ai_limit::sliding_window
