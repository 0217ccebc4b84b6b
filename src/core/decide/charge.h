#pragma once

// The questions that a decision answers: a charge for each policy, on an entry of a zone.

#include <string_view>

#include "core/decide/flights.h"
#include "core/decide/ledger.h"
#include "core/limits/algorithm.h"
#include "core/sharers/part.h"
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
    kUnpriced,   // refused, since there is no price to charge the request by
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

    Decider decider = Decider::kHere;
};

// Of more nodes, each is taken to have a part as if there were only so many.
constexpr uint32_t kMostNodesOfPart = 10'000;

/** True if other nodes have a part in the policy's counts. */
inline bool in_redis(const Ask& ask) {
    return ask.decider != Decider::kHere;
}

/** The part of one entry in a decision. */
struct Charge : Ask {
    // Filled in by begin_charge(), like what is asked.
    Verdict verdict;
    DeltaDue delta_due;  // of a ledger: the action that the caller must take
    uint32_t turn_in;    // milliseconds that a refused request would have to wait for its turn
    uint64_t tag;        // of the key's entry
    Bucket* first;       // where it belongs

    // The answer, beside the verdict.
    State state;  // after the decision, for describe()
    // The record of a charged kConcurrency or kReservation, else nullptr. end_flight() ends it, or
    // settle_charge() for a reservation.
    FlightRecord* flight;
};

/** The part of the sharer of a key in a decision: it decides with the policy's own charge. */
struct SharerCharge : Charge {
    uint64_t key_tag;  // of the entry of the key that it shares
    uint32_t weight;
    uint64_t floor;  // its service starts there at the earliest (sharers/service.h)
    // Redis compares with the part that the sharer has over all nodes. Otherwise each node compares
    // with the part that it has of what this node may pass.
    bool over_nodes;
    std::string_view name;  // as others know it; the request's

    // The answer.
    SharerPart part;
    Amount taken;        // of the part, by a request that passed
    uint64_t start;      // of its service
    bool is_counted;     // the entry has it
    SharerState before;  // the decision
};

/**
 * The part of one policy in a decision. The further charges are for the same key. They belong
 * to the caller, and must last as long as this.
 */
struct PolicyCharge {
    // Refuses and reports.
    Charge use;

    // For a policy in tokens, else nullptr: reserves the cost until the request has ended
    // (reservation_limit()). `use` has the same cost, but settle_charge() decides what it takes.
    Charge* reservation;

    // For a policy in Redis whose requests this node may pass by itself, else nullptr: counts what
    // the other nodes must learn (ledger_limit()).
    Charge* ledger;

    // For a policy whose key several share, else nullptr.
    SharerCharge* sharer;
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
    charge->turn_in = 0;
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

/** The same for a policy with only the charge for use. The caller adds the others. */
inline void begin_charge(PolicyCharge* charge, const Ask& ask, uint64_t hash) {
    begin_charge(&charge->use, ask, hash);
    charge->reservation = nullptr;
    charge->ledger = nullptr;
    charge->sharer = nullptr;
}

/** The same for the sharer of the charge's key. `hash`: hash_sharer()'s. */
inline void begin_charge(SharerCharge* sharer, const Ask& ask, uint64_t hash, uint32_t weight,
                         const Charge& use) {
    begin_charge(sharer, ask, hash);
    sharer->key_tag = use.tag;
    sharer->weight = weight;
    sharer->part = {};
    sharer->taken = 0;
    sharer->floor = served_until_now(use.access->journal.zone(), use.tag);
    sharer->is_counted = false;
    sharer->over_nodes = false;
    sharer->name = {};
}

/** Returns how many nodes divide the limit of a charge among them, which has a sharer. */
inline uint32_t nodes_of_part(const PolicyCharge& charge) {
    const bool divides =
        in_redis(charge.use) && charge.use.decider != Decider::kAlone && !charge.sharer->over_nodes;
    const ZoneHeader* header = charge.use.access->journal.zone().header();
    const uint32_t nodes = divides ? header->nodes.load(std::memory_order_relaxed) : 1;
    return nodes < 1 ? 1 : nodes > kMostNodesOfPart ? kMostNodesOfPart : nodes;
}

/** What the charge's request asks of its sharer's part. */
inline SharerAsk sharer_ask(const PolicyCharge& charge) {
    return {charge.use.limit, charge.sharer->weight, least_left(charge.use), nodes_of_part(charge)};
}

}  // namespace ai_limit
