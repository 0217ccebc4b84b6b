#pragma once

#include "core/limits/algorithm_row.h"
#include "core/limits/limit.h"
#include "core/limits/state.h"

namespace ai_limit::fixed_window {

// At most the quota per window. Seconds, minutes and hours are aligned to the epoch, days to
// midnight, weeks to Monday, months to the 1st, all in the limit's time zone; windows of several of
// these are counted from the first such boundary at or after 1970-01-01.

/** A window from `start` until before `end`, in seconds since the epoch, UTC. */
struct Window {
    uint32_t start;
    uint32_t end;
};

/** The window that holds the wall-clock time `wall`. */
Window window_at(Period period, Millis time_zone, Millis wall);

/**
 * Forgets the usage of a window that is over. The usage of a window of another length that has not
 * ended counts in the present one. A window of the future, after the clock was set back, goes on.
 */
void advance(const Limit& limit, FixedWindowState* state, Millis wall);

/** Notes that the window is used at this moment. */
void note_use(FixedWindowState* state, Millis wall);

/** Milliseconds from the window's start until it was used last, to 1/16384 of its length. */
Millis last_use(const FixedWindowState& state);

/** Milliseconds from `wall` until the window ends; 0 for an `amount` of 0. */
Millis until_back(const FixedWindowState& state, Amount amount, Millis wall);

extern const AlgorithmRow kRow;

}  // namespace ai_limit::fixed_window
