#pragma once

#include "core/decide/flights.h"
#include "core/decide/ledger.h"
#include "core/decide/settlement.h"
#include "core/limits/algorithm.h"
#include "core/zone/table.h"

namespace ai_limit {

/** The reaction to a new key when only spent or refusing entries could make room for it. */
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
    kZoneFull,   // refused for want of room in the zone
    kUndecided,  // refused, since nobody can decide: Redis is away
    kUnknown,    // this node has no share left to pass it from: others must be asked
};

/** The party that decides on a charge. */
enum class Decider : uint8_t {
    kHere,
    // The others are for policies that nodes share, which count by redis_clock.h.
    kAlone,      // this node, since nobody else can
    kByShare,    // this node, as far as its share goes
    kElsewhere,  // nobody yet: only the count of this node is known
    kDecided,    // it has been: the charge's state is taken over as it is
};

/** A policy's demand on a request. Most policies make the same demand on all requests. */
struct Ask {
    const Limit* limit;
    ZoneAccess* access;
    Amount cost;
    uint32_t policy;  // its number in the zone
    bool dry_run;     // counts and reports, but never refuses

    // A policy in tokens makes two charges, one behind the other. The first reserves its cost
    // (reservation_limit()). The second, in which this is set, refuses and reports. It costs the
    // same, but settle_charge() decides what it takes when the request has ended.
    bool settled_later = false;

    Decider decider = Decider::kHere;

    // True for a shared policy whose requests this node may pass by itself. A charge of
    // ledger_limit() for the same key stands before its other charges.
    bool has_ledger = false;
};

/** True if other nodes have a part in the policy's counts. */
inline bool in_redis(const Ask& ask) {
    return ask.decider != Decider::kHere;
}

/** One policy's part in a decision. */
struct Charge : Ask {
    // Filled in by begin_charge(), like what is asked.
    Verdict verdict;
    DeltaDue delta_due;  // of a ledger: the action that the caller must take
    uint64_t tag;        // of the key's entry
    Bucket* first;       // where it belongs

    // The answer, beside the verdict.
    State state;  // after the decision, for describe()
    // The record of a charged kConcurrency or kReservation, else nullptr. end_flight() ends it, or
    // settle_charge() for a reservation.
    FlightRecord* flight;
};

/** The entry of a key that counts for this limit (period_entries.h). */
inline uint32_t variant_of(const Ask& ask) {
    return in_redis(ask) ? 0 : ask.limit->variant;
}

/** Returns the value that hash_key() gave for the charge's key. */
inline uint64_t hash_of(const Charge& charge) {
    return tag_of(charge.tag, charge.policy) ^ tag_bits(variant_of(charge));
}

/**
 * Returns the charge for the ledger of a charge that has one. It stands before the charge for the
 * reserved tokens, if there is one.
 */
inline Charge* ledger_of(Charge* charge) {
    return charge - (charge->settled_later ? 2 : 1);
}

/**
 * Returns the least amount that must be left for a charge. It is never 0, even if nothing is taken
 * yet.
 */
inline Amount least_left(const Ask& ask) {
    return ask.cost != 0 ? ask.cost : 1;
}

/** Begins to load from memory what a decision on this key will look at. `hash`: by hash_key(). */
inline void begin_charge(Charge* charge, const Ask& ask, uint64_t hash) {
    static_cast<Ask&>(*charge) = ask;
    charge->verdict = Verdict::kPassed;
    charge->tag = tag_of(hash, ask.policy) ^ tag_bits(variant_of(ask));
    charge->flight = nullptr;
    const Zone& zone = ask.access->journal.zone();
    const Geometry& geometry = geometry_of(ask.limit->algorithm);
    charge->first = first_bucket(zone, geometry, charge->tag, ask.policy);
    prefetch(charge->first);
    // In a zone that is filling, one key in six is found there only: waiting for memory twice costs
    // them more than this costs the others.
    prefetch_tags(second_bucket(zone, geometry, charge->tag));
}

/**
 * Decide on token buckets of one zone whose entries exist, that have enough left, and that nobody
 * else is changing: nearly all decisions. They return false if one is not like that. Then nothing
 * has been changed.
 */
bool admit_one_at_once(Charge* charge, Millis now);
bool admit_all_at_once(Charge* charges, size_t n, Millis now);

/** Decides on any charges. */
bool admit_step_by_step(Charge* charges, size_t n, const Now& now);

/**
 * Decides on all charges as one: either each is charged, or none is. A dry-run charge that does not
 * fit is left out. Returns true if the request passes. Takes at most kMaxCharges charges, of at
 * most kMaxSetPolicies different policies. It is exact over all processes: the buckets of all
 * charges are locked, in the order of their addresses. Charges that are settled later must be
 * admitted step by step.
 */
inline bool admit(Charge* charges, size_t n, const Now& now) {
    bool at_once = n == 1 ? admit_one_at_once(charges, now.monotonic)
                          : admit_all_at_once(charges, n, now.monotonic);
    return at_once || admit_step_by_step(charges, n, now);
}

/**
 * Returns what admit() would return for the charges now, unless it found no room for them. It
 * charges nothing if they would pass. It is for a request that is not yet known in full. The
 * charges can be admitted later.
 */
bool would_admit(Charge* charges, size_t n, const Now& now);

/** Gives back the slot of a charge that was in flight. */
void end_flight(ZoneAccess* access, FlightRecord* flight);

/**
 * Charges what a request truly used, at most kMaxAmount, in place of its reservation. Call this
 * once, for a charge that passed and is settled_later. Returns how much of it is above the limit.
 * Leaves the key's new state in `after`, if it is counted.
 */
Amount settle_charge(Charge* used, Amount tokens, const Now& now, State* after = nullptr);

}  // namespace ai_limit
