#pragma once

// One key of one policy, for an operator who asks for it or forgets it.

#include "core/admission.h"

namespace ai_limit {

/** What a key has by which numbers; `use` is the policy's own charge. */
struct KeyQuestion {
    ZoneAccess* access;
    uint64_t hash;       // hash_key()
    const Limit* limit;  // nullptr where a variable holds it: then the likeliest is taken
    uint32_t use;
    uint32_t hold;    // 0 where the policy counts no tokens
    uint32_t ledger;  // 0 where nodes do not share it
    bool is_shared;
};

struct KeyAnswer {
    Limit limit;
    State state;  // of what is used, at this moment
    Description said;
    Amount used;
    Amount held;
};

/** What is to be said of a key whose state and held tokens are known; `now` as the policy counts.
 */
KeyAnswer describe_key(const Limit& limit, State state, Amount held, Now now);

/**
 * What is known here of a key; false where nothing is. Of a policy whose limit a variable holds,
 * the limit is one that it has had which fits the entry; where several do, the largest.
 */
bool read_key(const KeyQuestion& question, Now now, KeyAnswer* answer);

/** The policy's clock: of one that nodes share, theirs. */
Now now_of(const KeyQuestion& question, Now here);

/**
 * Forgets what a key has used, and its ledger; what requests under way hold stays, until they end.
 * False where there is nothing to forget. Must not be called for requests in flight, which end by
 * themselves.
 */
bool forget_key(const KeyQuestion& question);

}  // namespace ai_limit
