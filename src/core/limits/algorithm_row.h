#pragma once

#include "core/limits/limit.h"
#include "core/limits/state.h"

namespace ai_limit {

/** The functions of an algorithm, for limits and states that are its own. */
struct AlgorithmRow {
    /** Makes the limit for a rate. Returns nullptr, or a static text that says why it cannot. */
    const char* (*make_limit)(const Rate& rate, Amount burst, Millis time_zone, Limit* limit);

    /** True if decisions can be calculated by numbers that come from a file. */
    bool (*is_sound_limit)(const Limit& limit);
    bool (*is_sound_state)(const State& state);

    /** Gives back what time has given back. */
    void (*advance)(const Limit& limit, State* state, Now now);

    /** Returns the milliseconds until `amount` of what is used have come back. */
    Millis (*until_back)(const Limit& limit, const State& state, Amount amount, Now now);

    /** Returns the milliseconds in which the whole capacity comes back. */
    Millis (*window)(const Limit& limit, const State& state);

    /** True if the state may have been counted by this limit, among several of a policy. */
    bool (*fits_entry)(const Limit& limit, const State& state);

    /** Makes a state that was advanced to `from` by a zone's clock count from `to` by another's. */
    void (*move_clock)(const Limit& limit, State* state, Millis from, Millis to);
};

const AlgorithmRow& row_of(Algorithm algorithm);

}  // namespace ai_limit
