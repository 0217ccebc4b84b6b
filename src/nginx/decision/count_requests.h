#pragma once

// Counts what was decided, for who operates this nginx: by policy, and by the keys that stand out.

#include "core/observe/meters.h"
#include "core/observe/top_keys.h"
#include "nginx/decision/decision.h"

namespace ai_limit {

/**
 * Selects the requests that are looked at for the keys that stand out: all while a worker has few,
 * then every n-th or so, which counts for n.
 */
struct KeySampler {
    uint32_t until_next = 1;
    uint32_t weight = 1;
    uint32_t seen = 0;  // in this tick, as far as known
    Millis tick_began = 0;
};
extern KeySampler key_sampler;

/** Notes the keys of a request that passed, and which request is the next. */
void note_passed(const Decision& one);

/** Counts a request that all its policies let pass, none of them on a dry run. */
inline __attribute__((always_inline)) void count_passed(const Decision& one) {
    const Part* end = one.parts + one.count;
    for (const Part* part = one.parts; part != end; ++part) {
        count_one(&part->policy->live->counts->passed);
    }
    if (--key_sampler.until_next == 0) {
        note_passed(one);
    }
}

/** Counts any other request. A refused request does not count for the policies that would have let
 * it pass: they charged nothing. */
void count_results(const Decision& one);

/** Counts an admitted request whose limit of output has been lowered, for its policies in tokens.
 */
void count_lowered_output(const Decision& one);

/** Counts for one policy a refused request that no policy was asked about: no wait helps it. `tag`
 * is the tag of the key's entry. */
void count_unasked(const Part& part, uint64_t tag, Millis monotonic);

/** The same for the charges of a decision that was not made: their verdict says that they refuse.
 */
void count_undecided(const Decision& one);

/** The amounts that a policy charged for an ended request, and had reserved for it. */
struct Settled {
    Amount charged, reserved;
};

/** Counts the tokens that an ended request used, and what a policy charged for them. */
void count_used(const Charge& charge, const Part& part, const TokenCounts& used, Settled settled,
                Now now);

}  // namespace ai_limit
