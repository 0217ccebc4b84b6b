#pragma once

#include "core/journal.h"
#include "core/ledger.h"

namespace ai_limit {

/** Where what is used is to be told from, of a policy that nodes share. */
struct LedgerPart {
    uint64_t tag;     // of the key's ledger
    uint32_t policy;  // its number, 0 for none
    Millis interval;  // in milliseconds, from one telling to the next
    News* news;       // what the caller is to do
};

/** What becomes of a policy's part in a request that has ended. */
struct Settlement {
    const Limit* limit;    // as it was when the request was admitted
    uint64_t tag;          // of the key's entry that counts what is used
    uint32_t policy;       // its number
    Amount tokens;         // truly used; it may exceed the limit, time pays the debt
    FlightRecord* flight;  // what was held; nullptr for nothing
    bool evicts;           // may take the place of an entry that is spent or refuses
    LedgerPart ledger = {};
    State* after = nullptr;  // where the key's state is left that counts the tokens
};

/**
 * Gives back what was held and charges what was used, in one step, however the process dies; the
 * record of the flight is free then. Without room for an entry the charge is lost. Returns how much
 * of the tokens is above the limit, which it also counts in the policy's record.
 */
Amount settle(Journal* journal, const Settlement& settlement, Now now);

/** The tag of the entry that counts what a request with this record uses by the limit. */
uint64_t tag_of_use(const Zone& zone, const FlightRecord& flight, const Limit& limit);

/** Of a process that died: what it held for one request becomes what was used. */
void settle_as_held(Journal* journal, FlightRecord* flight, Now now);

}  // namespace ai_limit
