#pragma once

#include "core/buckets/period_entries.h"
#include "core/decide/charge.h"
#include "core/policies/redis_clock.h"

namespace ai_limit {

/** A charge and its key's entry, while one decision looks at it. */
struct ChargeEntry {
    Charge* charge;
    PolicyCharge* policy;  // the charge is part of it

    // The entries of the policy's other charges if this one is for use; nullptr if there is none.
    ChargeEntry* reservation;
    ChargeEntry* ledger;
    ChargeEntry* sharer;

    bool both;        // both candidate buckets must be looked at
    bool present;     // the entry is in `cell`
    bool missing;     // there is no room for it, and it has been decided on all the same
    bool is_unknown;  // of a ledger: nothing is known of what others have used
    Cell cell;
    Amount taken;  // of the limit, before this charge
    OtherPeriods others;

    const Limit& limit() const { return *charge->limit; }
    const Geometry& geometry() const { return geometry_of(charge->limit->algorithm); }
    Journal* journal() const { return &charge->access->journal; }
    const Zone& zone() const { return charge->access->journal.zone(); }

    /** The second of the buckets in which the entry may be. */
    Bucket* second() const { return second_bucket(zone(), geometry(), charge->tag); }
};

inline bool is_wide(const ChargeEntry& entry) {
    return is_wide(entry.charge->limit->algorithm);
}

/** True if this node decides on the charge. */
inline bool is_weighed(const Charge& charge) {
    return charge.decider != Decider::kElsewhere && charge.decider != Decider::kDecided;
}

inline bool is_ledger(const ChargeEntry& entry) {
    return entry.charge->limit->algorithm == Algorithm::kLedger;
}

inline bool is_sharer(const ChargeEntry& entry) {
    return is_of_sharer(entry.charge->limit->algorithm);
}

/** True if the charge is decided elsewhere, so that its state is written as it is. */
inline bool is_taken_over(const Charge& charge) {
    return charge.decider == Decider::kDecided && !has_flights(charge.limit->algorithm);
}

/** True if the charge must be written. */
inline bool counts(const ChargeEntry& entry) {
    const Charge& charge = *entry.charge;
    return charge.verdict == Verdict::kPassed &&
           (entry.reservation != nullptr ? is_taken_over(charge) : charge.cost != 0);
}

/** The time by the clock of the charge's policy. */
inline Now now_of(const Charge& charge, Now here) {
    return in_redis(charge) ? redis_time(charge.access->journal.zone(), here) : here;
}

/** True if the key may have entries for other periods. */
inline bool may_have_others(const Charge& charge) {
    return has_window(charge.limit->algorithm) && !in_redis(charge) &&
           has_several_periods(charge.access->journal.zone(), charge.policy);
}

/**
 * The entries of all charges of one decision. It locks their buckets, in the order of their
 * addresses over all zones, and finds the entries in them.
 */
class ChargeEntries {
public:
    ChargeEntries(PolicyCharge* charges, size_t n);
    ChargeEntries(const ChargeEntries&) = delete;
    ChargeEntries& operator=(const ChargeEntries&) = delete;

    ChargeEntry* begin() { return entries_; }
    ChargeEntry* end() { return end_; }

    /** Locks the buckets, and finds the entries that exist. */
    void lock();

    /** Makes what was written final and opens the locks, in each zone. */
    void finish();

    /** True if an entry does not exist, or a request in flight needs a record. */
    bool need_room() const { return need_room_; }

    /** True if a charge of this decision has the cell. */
    bool is_pinned(Cell cell) const;

private:
    ChargeEntry* add(Charge* charge, PolicyCharge* policy);
    void lock_once();
    bool find_all();
    bool find(ChargeEntry* entry, const Geometry& geometry);
    bool find_elsewhere(ChargeEntry* entry, const Geometry& geometry);
    bool has_free_cell_in_first(const ChargeEntry& entry, const Geometry& geometry) const;

    ChargeEntry entries_[kMaxCharges];
    ChargeEntry* end_ = entries_;
    bool need_room_ = false;
};

}  // namespace ai_limit
