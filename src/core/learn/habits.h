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
#include "core/learn/habit_search.h"
#include "core/zone/zone.h"

namespace ai_limit {

/** The expected use of a request. */
struct UsualUse {
    bool knows_output;
    Amount output;          // usual_output()
    uint32_t prompt_ratio;  // for corrected_prompt(); kWholeRatio if nothing is known
    Amount spare = 0;       // spare_output() of an answer whose reservation does not grow
};

/** A place where a habit was found. It may have become another's since. */
struct HabitPlace {
    HabitWay* way = nullptr;  // nullptr: none was found
    // An answer with less output, in 256ths of a token, is below the estimates of all habits that
    // were looked for. None is if one of them is not steady.
    Amount ordinary_below = kMaxAmount;
};

/** As find_usual_use(), of a habit that is not steady or not there (nullptr). */
UsualUse find_unsteady_use(const Zone& zone, const HabitOwner& owner, bool grows,
                           const HabitWay* way);

/** Finds the habit of the owner, a key and a model, leaves its place in `place`, and lowers the
 * bound there. Returns false if the habit is not steady; then `usual` is not set. */
__attribute__((always_inline)) inline bool find_steady_use(const Zone& zone,
                                                           const HabitOwner& owner, bool grows,
                                                           HabitPlace* place, UsualUse* usual) {
    const uint64_t hash = hash_of(owner);
    HabitWay* way = find_habit_way(zone, hash);
    place->way = way;
    // The word of another hash has other upper bits.
    Habit habit;
    if (way == nullptr ||
        !read_steady_habit(way->habit.load(std::memory_order_relaxed) ^ habit_check(hash),
                           &habit)) {
        place->ordinary_below = 0;
        return false;
    }
    place->ordinary_below = std::min<Amount>(place->ordinary_below, habit.output);
    *usual = {true, usual_output(habit), habit.ratio, grows ? 0 : spare_output(habit)};
    return true;
}

/**
 * Returns what requests of the owner, a key and a model, usually use: by the habit of both if it
 * knows, otherwise by that of the model. `grows`: the reservation grows while the answer runs.
 */
inline UsualUse find_usual_use(const Zone& zone, const HabitOwner& owner, bool grows,
                               HabitPlace* place) {
    UsualUse usual{};
    return find_steady_use(zone, owner, grows, place, &usual)
               ? usual
               : find_unsteady_use(zone, owner, grows, place->way);
}

/**
 * Chooses the answers that teach of those that are below their estimates: one in kStandsFor of a
 * process. Multiples of the golden ratio spread them evenly over the answers of each key, and
 * answers that come in turn never fall in step with them.
 */
class TeachingTurns {
public:
    bool next() {
        turn_ += 0x9E3779B97F4A7C15;
        return turn_ < UINT64_MAX / kStandsFor;
    }

private:
    uint64_t turn_ = 0;
};

/** Returns how many answers an answer stands for when it teaches; 0 if it teaches nothing.
 * `place`: as the request has found it before it was answered. */
inline uint32_t stands_for(const HabitSample& sample, const HabitPlace& place,
                           TeachingTurns* turns) {
    if (std::min(sample.output, kMostUsualOutput) * learning::kTokenOutput >=
        place.ordinary_below) {
        return 1;
    }
    return turns->next() ? kStandsFor : 0;
}

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
    const Amount most = asked.is_limited ? std::min(asked.most, most_output) : most_output;
    const Amount output = usual.knows_output ? usual.output
                          : asked.is_limited ? asked.most
                                             : kUnknownOutput;
    Expectation expected{prompt, corrected_prompt(prompt, usual.prompt_ratio),
                         std::min(output, most)};
    expected.spare = std::min(usual.spare, most - expected.output);
    return expected;
}

/** The same for a request of the owner, a key and a model, whose habit is looked for as by
 * find_usual_use(). */
__attribute__((always_inline)) inline Expectation expect_use(
    const Zone& zone, const HabitOwner& owner, bool grows, Amount prompt, const AskedOutput& asked,
    Amount most_output, HabitPlace* place) {
    UsualUse usual{};
    return find_steady_use(zone, owner, grows, place, &usual)
               ? expected_use(usual, prompt, asked, most_output)
               : expected_use(find_unsteady_use(zone, owner, grows, place->way), prompt, asked,
                              most_output);
}

/** Learns from an answer to a request of the owner, a key and a model. `place` is where their habit
 * was found, in this zone or in another one; it spares a search. `wall`: of the wall clock, in
 * milliseconds. */
void note_use(const Zone& zone, const HabitOwner& owner, const HabitSample& sample,
              const HabitPlace& place, Millis wall);

/** The same for callers that keep no places. */
inline UsualUse find_usual_use(const Zone& zone, const HabitOwner& owner, bool grows) {
    HabitPlace place{};
    return find_usual_use(zone, owner, grows, &place);
}
inline void note_use(const Zone& zone, const HabitOwner& owner, const HabitSample& sample,
                     Millis wall) {
    note_use(zone, owner, sample, HabitPlace{}, wall);
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
