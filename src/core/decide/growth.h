#pragma once

// Reserves more for a request in flight. A dead process's grown reservation is charged like any
// other.

#include "core/limits/limit.h"
#include "core/zone/journal.h"

namespace ai_limit {

/** The growth of what one policy has reserved for a request. */
struct Growth {
    const Limit* limit;    // as it was when the request was admitted
    uint64_t tag;          // of the key's entry that counts what is used
    uint32_t policy;       // its number
    Amount more;           // wanted beside what is reserved
    FlightRecord* flight;  // the reservation
    bool is_decided;       // elsewhere: it is granted whether it fits here or not
    // Where several share the key: what is left of the sharer's part, and what more than that must
    // leave to the others.
    Amount own = kMaxAmount;
    Amount claimed = 0;
};

/**
 * Reserves more if it fits in the limit beside what the key has used and what all its requests have
 * reserved; otherwise as much as fits. Returns how much that is. The entry that counts reservations
 * and the record of the flight change in one step, however the process dies. Returns 0 if the zone
 * has lost that entry.
 */
Amount grow_reservation(Journal* journal, const Growth& growth, Now now);

}  // namespace ai_limit
