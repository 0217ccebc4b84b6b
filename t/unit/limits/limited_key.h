#pragma once

// One key under one limit, and random costs for it, for the tests of the algorithms.

#include "core/limits/algorithm.h"
#include "random.h"

namespace ai_limit {

/**
 * The state of a key under a limit, as the key's entry keeps it: a refusal leaves no trace in it.
 * Times are those of the clock that the limit goes by: the wall clock for a fixed window, the
 * monotonic clock for the others.
 */
class LimitedKey {
public:
    explicit LimitedKey(const Limit& limit) : limit_(limit) {}

    bool pass(Amount cost, Millis now) {
        State state = advanced(now);
        if (!fits(limit_, used(limit_, state), cost)) {
            return false;
        }
        charge(limit_, &state, cost, at(now));
        // A sliding window does not write a charge of nothing.
        if (cost != 0 || limit_.algorithm != Algorithm::kSlidingWindow) {
            state_ = state;
        }
        return true;
    }

    bool would_pass(Amount cost, Millis now) const {
        return fits(limit_, used(limit_, advanced(now)), cost);
    }

    /** Looks, and writes the state that it saw. */
    void look(Millis now) { state_ = advanced(now); }

    Amount used_at(Millis now) const { return used(limit_, advanced(now)); }
    Amount left(Millis now) const { return limit_.capacity - used_at(now); }

    /** Returns the time until a cost that was refused fits. */
    Millis wait_for(Amount cost, Millis now) const {
        const State state = advanced(now);
        const Amount missing = used(limit_, state) + cost - limit_.capacity;
        return until_back(limit_, state, missing, at(now));
    }

    void change(const Limit& limit) { limit_ = limit; }

private:
    Now at(Millis now) const {
        return limit_.algorithm == Algorithm::kFixedWindow ? Now{0, now} : Now{now, 0};
    }

    State advanced(Millis now) const {
        State state = state_;
        advance(limit_, &state, at(now));
        return state;
    }

    Limit limit_;
    State state_ = {};
};

/**
 * Returns a cost that may fit: a small one, a part of the capacity, all of it, sometimes more,
 * sometimes nothing.
 */
inline Amount random_cost(Random* random, const Limit& limit) {
    switch (random->below(8)) {
        case 0:
            return 0;
        case 1:
            return limit.capacity;
        case 2:
            return limit.capacity + 1;
        case 3:
            return random->scaled(1'000'000'000);
        case 4:
        case 5:
            return random->scaled(limit.capacity);
        default:
            return 1;
    }
}

}  // namespace ai_limit
