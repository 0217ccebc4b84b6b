#pragma once

// The habits (habit.h) of each key with each model, of each model, and of each key: what requests
// usually use.
//
// They lie in a part of the zone of their own, so they are the same for all workers and over
// reloads, and no limit loses its entry to a habit. Each takes 16 bytes. There is no lock and no
// journal: if two workers learn at the same time, one of two answers is lost; if a worker is
// killed, a habit is lost at most. A habit that meets another's hash by its check bits is never
// read.
//
// A new habit takes the place of the weakest of its set: the one that fewest answers have taught,
// and among equals the oldest. It begins as weak as can be. Therefore a client that makes up keys
// or models displaces little but its own inventions.

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "core/counts/reservation.h"
#include "core/learn/habit.h"
#include "core/zone/zone.h"

namespace ai_limit {

/** The requests that a habit is about. Each hash is by hash_key(), of the policy's key or of the
 * model; 0 stands for all keys, or all models. */
struct HabitOwner {
    uint64_t key;
    uint64_t model;
};

/** The expected use of a request. */
struct UsualUse {
    bool knows_output;
    Amount output;          // usual_output()
    uint32_t prompt_ratio;  // for corrected_prompt(); kWholeRatio if nothing is known
    Amount spare = 0;       // spare_output() of an answer whose reservation does not grow
};

/** A place where a habit was found. It may have become another's since. */
struct HabitPlace {
    HabitWay* way;  // nullptr: none was found
};

/** Returns what requests of the owner, a key and a model, usually use: by the habit of both if it
 * knows, otherwise by that of the model. `grows`: the reservation grows while the
 * answer runs. Leaves the place of the habit
 * of both in `place`. */
UsualUse find_usual_use(const Zone& zone, const HabitOwner& owner, bool grows, HabitPlace* place);

/**
 * Returns the expected usage of a request for `reserve=auto`. The output is the usual one,
 * otherwise the most that the request asks for, otherwise kUnknownOutput. It is never more than the
 * request asks for, nor than `most_output`. It is 0 for a request, such as one for a list of
 * models, that has no prompt and asks for no output. `prompt`: estimated.
 */
inline Expectation expected_use(const UsualUse& usual, Amount prompt, const AskedOutput& asked,
                                Amount most_output) {
    if (prompt == 0 && !asked.is_limited) {
        return {};
    }
    Amount output = usual.knows_output ? usual.output
                    : asked.is_limited ? asked.most
                                       : kUnknownOutput;
    if (asked.is_limited) {
        output = std::min(output, asked.most);
    }
    Expectation expected{prompt, corrected_prompt(prompt, usual.prompt_ratio),
                         std::min(output, most_output)};
    const Amount most = asked.is_limited ? std::min(asked.most, most_output) : most_output;
    expected.spare = std::min(usual.spare, most - expected.output);
    return expected;
}

/** Learns from an answer to a request of the owner, a key and a model. `place` is where their habit
 * was found, in this zone or in another one; it spares a search. `wall`: of the wall clock, in
 * milliseconds. */
void note_use(const Zone& zone, const HabitOwner& owner, const HabitSample& sample,
              const HabitPlace& place, Millis wall);

/** The same for who keeps no places. */
inline UsualUse find_usual_use(const Zone& zone, const HabitOwner& owner, bool grows) {
    HabitPlace place;
    return find_usual_use(zone, owner, grows, &place);
}
inline void note_use(const Zone& zone, const HabitOwner& owner, const HabitSample& sample,
                     Millis wall) {
    note_use(zone, owner, sample, HabitPlace{nullptr}, wall);
}

/** Reads one habit; false if there is none. */
bool read_habit(const Zone& zone, const HabitOwner& owner, Habit* habit);

/** Puts a habit of another zone with the same secret into its set, as a HabitWay has it. It is left
 * out if all others there are stronger. `wall`: of the wall clock, in milliseconds. */
void keep_habit(const Zone& zone, uint64_t mark, uint64_t word, Millis wall);

/** For a zone that is copied to another size. If there is too little room, the weakest are left
 * out. */
void copy_habits(const Zone& from, const Zone& to);

}  // namespace ai_limit
