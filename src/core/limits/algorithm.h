#pragma once

#include "core/limits/algorithm_row.h"
#include "core/limits/limit.h"
#include "core/limits/sliding_window.h"
#include "core/limits/state.h"
#include "core/limits/token_bucket.h"

namespace ai_limit {

// The steps of a decision, for states of any algorithm: advance the state to now, ask whether the
// cost fits, charge. A state of zeros is that of a key that was never seen.

/** Gives back what time has given back. */
inline void advance(const Limit& limit, State* state, Now now) {
    row_of(limit.algorithm).advance(limit, state, now);
}

/**
 * Returns the used part of the limit, after an advance. It exceeds the capacity if the limit has
 * shrunk below it.
 */
inline Amount used(const Limit& limit, const State& state) {
    if (!is_wide(limit.algorithm)) {
        return state.token_bucket.used;  // all small states have it in the same place
    }
    if (limit.algorithm == Algorithm::kSlidingWindow) {
        return sliding_window::used(state.sliding_window);
    }
    return limit.algorithm == Algorithm::kLedger ? state.ledger.counted - state.ledger.acknowledged
                                                 : state.sharer.slots;
}

/** True if `cost` fits beside what is used. */
inline bool fits(const Limit& limit, Amount used, Amount cost) {
    return cost <= limit.capacity && used <= limit.capacity - cost;
}

/** The clock by which a sliding window counts. */
inline Millis clock_of(const Limit& limit, Now now) {
    return limit.by_wall ? now.wall : now.monotonic;
}

/** Takes `cost`, which fits, from a state that was advanced to `now`. */
inline void charge(const Limit& limit, State* state, Amount cost, Now now) {
    if (is_wide(limit.algorithm)) {
        sliding_window::add(&state->sliding_window, cost, clock_of(limit, now));
    } else {
        state->words[0] += cost << kUsedShift;
    }
}

/** Takes `amount`, whether it fits or not: at most kMaxAmount is used in the end, or 2^32 - 1 of a
 * sliding window in each of its parts. */
void charge_any(const Limit& limit, State* state, Amount amount, Now now);

/** A debt, what is used above the limit, is at most so many limits. */
constexpr Amount kMaxDebt = 100;

/** Takes what a request has truly used: like charge_any(), but the debt is at most kMaxDebt times
 * the limit, so that one absurd count does not block a key for years. */
void charge_used(const Limit& limit, State* state, Amount amount, Now now);

/** Milliseconds until `amount` of what is used have come back; for requests in flight the state's
 * likely_wait, or a second. */
inline Millis until_back(const Limit& limit, const State& state, Amount amount, Now now) {
    if (limit.algorithm == Algorithm::kTokenBucket) {
        return token_bucket::until_back(limit, token_bucket::unpack(state.pair), amount,
                                        now.monotonic);
    }
    return row_of(limit.algorithm).until_back(limit, state, amount, now);
}

/**
 * Returns how much of the limit remains when `used` is taken. Returns 0 if the limit has shrunk
 * below that.
 */
constexpr Amount remaining_of(const Limit& limit, Amount used) {
    return used < limit.capacity ? limit.capacity - used : 0;
}

/**
 * Describes a state after its decision. `requested` is the cost of the request. `refused` is true
 * if it was refused. The caller sets the name.
 */
Description describe(const Limit& limit, const State& state, Amount requested, bool refused,
                     Now now);

}  // namespace ai_limit
