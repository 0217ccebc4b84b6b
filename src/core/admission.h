#pragma once

#include "core/algorithm.h"
#include "core/flights.h"
#include "core/table.h"

namespace ai_limit {

/** What happens to a key for which the zone has no room, not even by forgetting one that refuses.
 */
enum class OnFull : uint8_t { kEvict, kAllow, kReject };

/** One process's means to decide in a zone. */
struct ZoneAccess {
    Journal journal;
    Flights flights;
    OnFull on_full;
};

enum class Verdict : uint8_t {
    kPassed,
    kRefused,    // by this policy
    kUncounted,  // no room in the zone, and passed without being counted
    kNoRoom,     // refused for want of room in the zone
};

/** One policy's part in a decision. */
struct Charge {
    // What is asked; begin_charge() fills it in.
    const Limit* limit;
    ZoneAccess* access;
    uint64_t tag;     // of the key's entry
    uint32_t policy;  // its number in the zone
    bool dry_run;     // counts and reports, but never refuses
    Amount cost;

    // What is answered.
    Verdict verdict;
    FlightRecord* flight;  // for kConcurrency where it was charged: to be ended by end_flight()
    State state;           // after the decision, for describe()

    // While it is decided on.
    bool present;  // the entry is in `cell`
    bool both;     // both candidate buckets must be looked at
    Bucket* first;
    Cell cell;
    Amount taken;  // of the limit, before this charge
};

/** Fills in what is asked, and begins to load from memory what the decision will look at. */
inline void begin_charge(Charge* charge, const Limit* limit, ZoneAccess* access, uint64_t hash,
                         uint32_t policy, bool dry_run, Amount cost) {
    charge->limit = limit;
    charge->access = access;
    charge->tag = tag_of(hash, policy);
    charge->policy = policy;
    charge->dry_run = dry_run;
    charge->cost = cost;
    charge->verdict = Verdict::kPassed;
    charge->flight = nullptr;
    charge->both = false;
    charge->first =
        first_bucket(access->journal.zone(), geometry_of(limit->algorithm), charge->tag, policy);
    prefetch(charge->first);
}

/**
 * Decides on all charges as one: either each is charged, or none is; a dry-run charge that does not
 * fit is left out. True where the request passes. At most kMaxCharges, of different policies. Exact
 * over all processes: the buckets of all charges are locked, in the order of their addresses.
 */
bool admit(Charge* charges, size_t n, Now now);

/** Gives back the slot of a charge that was in flight. */
void end_flight(ZoneAccess* access, FlightRecord* flight);

}  // namespace ai_limit
