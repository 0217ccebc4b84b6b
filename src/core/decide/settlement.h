#pragma once

#include "core/decide/ledger.h"
#include "core/zone/journal.h"

namespace ai_limit {

/** The ledger that reports the usage, for a policy that nodes share. */
struct LedgerPart {
    uint64_t tag;         // of the key's ledger
    uint32_t policy;      // its number, 0 for none
    Millis interval;      // in milliseconds, from one report to the next
    DeltaDue* delta_due;  // the action that the caller must take
    Millis now;           // the node's own monotonic time
};

/** The settlement of a policy's part in a request that has ended. */
struct Settlement {
    const Limit* limit;    // as it was when the request was admitted
    uint64_t tag;          // of the key's entry that counts what is used
    uint32_t policy;       // its number
    Amount tokens;         // truly used; it may exceed the limit, time pays the debt
    FlightRecord* flight;  // the reservation; nullptr for none
    bool evicts;           // may take the place of an entry that is spent or refuses
    LedgerPart ledger = {};
    State* after = nullptr;  // where the key's state is left that counts the tokens
};

/**
 * Refunds the reservation and charges what was used, in one step, however the process dies. The
 * record of the flight is free then. If there is no room for an entry, the charge is lost. Returns
 * how many of the tokens are above the limit, which it also counts in the policy's record.
 */
Amount settle(Journal* journal, const Settlement& settlement, Now now);

/** The tag of the entry that counts what a request with this record uses by the limit. */
uint64_t tag_of_use(const Zone& zone, const FlightRecord& flight, const Limit& limit);

/** Charges the reservation that a dead process had for one request as used. */
void settle_as_reserved(Journal* journal, FlightRecord* flight, Now now);

}  // namespace ai_limit
