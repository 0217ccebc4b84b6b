#pragma once

// The sharers of a policy's keys, for operators.

#include "core/decide/charge.h"
#include "core/observe/snapshot.h"

namespace ai_limit {

/** The limit that a sharer's key has. */
struct SharedKey {
    ZoneAccess* access;
    uint64_t tag;        // of the key's entry
    const Limit* limit;  // nullptr if a variable holds it: then the likeliest is taken
    uint32_t use;        // the policy's number
    uint32_t nodes;      // that divide the limit; 1 if they do not
};

/** Reads what a sharer has of its key into `row`, and copies its names. False if the zone has no
 * entry of it, or it neither is active nor uses anything. */
bool read_sharer_row(const SharedKey& key, const NamedSharer& sharer, const Ask& ask, Now now,
                     SharerRow* row);

/** Adds a row in its order: by key, and of a key the one that uses most first, else
 * by name. */
void add_row(const SharerRow& row, SharerRows* rows);

}  // namespace ai_limit
