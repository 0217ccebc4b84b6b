#pragma once

// One key of one policy, for an operator who asks for it or forgets it.

#include "core/decide/admission.h"

namespace ai_limit {

/**
 * The question about a key, by the policy's numbers. `use` is the number of the policy's own
 * charge.
 */
struct KeyQuestion {
    ZoneAccess* access;
    uint64_t hash;       // hash_key()
    const Limit* limit;  // nullptr if a variable holds it: then the likeliest is taken
    uint32_t use;
    uint32_t reservation;  // 0 if the policy counts no tokens
    uint32_t ledger;       // 0 if nodes do not share it
    bool in_redis;
};

struct KeyAnswer {
    Limit limit;
    State state;  // of what is used, at this moment
    Description said;
    Amount used;
    Amount reserved;
};

/** Describes a key whose state and reserved tokens are known. `now` is the policy's clock. */
KeyAnswer describe_key(const Limit& limit, State state, Amount reserved, Now now);

/**
 * Reads this node's knowledge of a key; false if there is none. If a variable holds the policy's
 * limit, the limit is one that the policy has had and that fits the entry. If several fit, it is
 * the largest.
 */
bool read_key(const KeyQuestion& question, Now now, KeyAnswer* answer);

/** Returns the policy's clock. A policy that nodes share has their common clock. */
Now now_of(const KeyQuestion& question, Now here);

/**
 * Forgets what a key has used, and its ledger. The reservations of requests in flight stay until
 * these end. Returns false if there is nothing to forget. Must not be called for requests in
 * flight, which end by themselves.
 */
bool forget_key(const KeyQuestion& question);

}  // namespace ai_limit
