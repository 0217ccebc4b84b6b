#include "core/decide/admission.h"

#include <cstring>

#include "core/buckets/free_cell.h"
#include "core/buckets/period_entries.h"
#include "core/buckets/served_keys.h"
#include "core/limits/token_bucket.h"
#include "core/policies/redis_clock.h"
#include "core/zone/lock_order.h"

namespace ai_limit {

namespace {

bool is_wide(const Charge& charge) {
    return is_wide(charge.limit->algorithm);
}

/** True if this node decides on the charge. */
bool is_weighed(const Charge& charge) {
    return charge.decider != Decider::kElsewhere && charge.decider != Decider::kDecided;
}

bool is_ledger(const Charge& charge) {
    return charge.limit->algorithm == Algorithm::kLedger;
}

/** True if the charge is decided elsewhere, so that its state is written as it is. */
bool is_taken_over(const Charge& charge) {
    return charge.decider == Decider::kDecided && !has_flights(charge.limit->algorithm);
}

/** True if the charge must be written. */
bool counts(const Charge& charge) {
    return charge.verdict == Verdict::kPassed &&
           (charge.settled_later ? is_taken_over(charge) : charge.cost != 0);
}

Now now_of(const Charge& charge, Now here) {
    return in_redis(charge) ? redis_time(charge.access->journal.zone(), here) : here;
}

/** True if the key may have entries for other periods. */
bool may_have_others(const Charge& charge) {
    return has_window(charge.limit->algorithm) && !in_redis(charge) &&
           has_several_periods(charge.access->journal.zone(), charge.policy);
}

class Admission {
public:
    Admission(Charge* charges, size_t n, Now now)
        : charges_(charges), end_(charges + n), now_(now) {
        for (Charge* charge = charges_; charge != end_; ++charge) {
            place(charge).both = false;
            place(charge).missing = false;
            place(charge).others.count = 0;
        }
    }

    bool decide() {
        bool passes = weigh_all();
        if (passes && (!needs_cell_ || free_cells_for_all())) {
            charge_all();
        } else {
            passes = false;
            mark_refusing();
        }
        finish();
        return passes;
    }

    /** Decides, but charges nothing where the request passes. */
    bool look() {
        bool passes = weigh_all();
        if (!passes) {
            mark_refusing();
        }
        finish();
        return passes;
    }

private:
    /** The position of a charge's entry, which may not exist yet. */
    struct Place {
        bool both;     // both candidate buckets must be looked at
        bool present;  // the entry is in `cell`
        bool missing;  // there is no room for it, and it has been decided on all the same
        Cell cell;
        Amount taken;     // of the limit, before this charge
        bool is_unknown;  // of a ledger: nothing is known of what others have used
        OtherPeriods others;
    };

    Place& place(const Charge* charge) { return places_[charge - charges_]; }

    bool weigh_all() {
        do {
            lock_all();
        } while (!find_all());
        bool passes = true;
        for (Charge* charge = charges_; charge != end_; ++charge) {
            passes &= weigh(charge) | charge->dry_run;
        }
        return passes;
    }

    void lock_all() {
        if (end_ - charges_ == 1 && !place(charges_).both) {
            charges_->access->journal.lock(charges_->first);
            return;
        }
        LockOrder locks;
        for (Charge* charge = charges_; charge != end_; ++charge) {
            Journal* journal = &charge->access->journal;
            locks.want(journal, charge->first);
            if (place(charge).both) {
                locks.want(journal, second_of(*charge));
            }
        }
        locks.take_all();
    }

    static Bucket* second_of(const Charge& charge) {
        return second_bucket(charge.access->journal.zone(), geometry_of(charge.limit->algorithm),
                             charge.tag);
    }

    /** Makes what was written final and opens the locks, in each zone. */
    void finish() {
        if (end_ - charges_ == 1) {
            charges_->access->journal.finish();
            return;
        }
        Journal* last = nullptr;
        for (Charge* charge = charges_; charge != end_; ++charge) {
            Journal* journal = &charge->access->journal;
            if (journal != last) {
                journal->finish();
            }
            last = journal;
        }
    }

    /** False if another bucket must be locked first; the locks are then open. */
    bool find_all() {
        bool found_all = true;
        needs_cell_ = false;
        for (Charge* charge = charges_; charge != end_; ++charge) {
            found_all &= is_wide(*charge) ? find(charge, kWide) : find(charge, kSmall);
            needs_cell_ |= !place(charge).present || has_flights(charge->limit->algorithm);
        }
        if (!found_all) {
            finish();
        }
        return found_all;
    }

    inline __attribute__((always_inline)) bool find(Charge* charge, const Geometry& geometry) {
        uint32_t index = find_tag(charge->first, geometry, charge->tag);
        place(charge).cell = {charge->first, index};
        place(charge).present = index != kNoCell;
        return (place(charge).present && !may_have_others(*charge)) ||
               find_elsewhere(charge, geometry);
    }

    __attribute__((noinline)) bool find_elsewhere(Charge* charge, const Geometry& geometry) {
        if (!place(charge).both) {
            bool settled = !charge->first->overflowed &&
                           (place(charge).present || has_free_cell_in_first(*charge, geometry));
            place(charge).both = !settled;
            return settled;
        }
        if (!place(charge).present) {
            Bucket* second = second_of(*charge);
            place(charge).cell = {second, find_tag(second, geometry, charge->tag)};
            place(charge).present = place(charge).cell.index != kNoCell;
        }
        return true;
    }

    /** True if the first bucket has a free cell beside those that earlier charges take. */
    bool has_free_cell_in_first(const Charge& charge, const Geometry& geometry) {
        uint32_t wanted = 1;
        for (const Charge* other = charges_; other != &charge; ++other) {
            wanted += !place(other).present && other->first == charge.first ? 1 : 0;
        }
        for (uint32_t cell = 0; cell < geometry.cells && wanted != 0; ++cell) {
            wanted -= charge.first->tags[cell] == 0 ? 1 : 0;
        }
        return wanted == 0;
    }

    /** True if the charge fits its limit. */
    bool weigh(Charge* charge) {
        if (in_redis(*charge)) {
            return weigh_in_redis(charge);
        }
        return weigh_here(charge);
    }

    inline __attribute__((always_inline)) bool weigh_here(Charge* charge) {
        if (charge->settled_later) {
            return weigh_use(charge);
        }
        if (charge->limit->algorithm == Algorithm::kTokenBucket) {
            return weigh_token_bucket(charge);
        }
        return weigh_other(charge);
    }

    __attribute__((noinline)) bool weigh_in_redis(Charge* charge) {
        if (is_ledger(*charge)) {
            open_ledger(charge);
            return true;
        }
        bool passes = is_weighed(*charge) ? weigh_here(charge) : weigh_elsewhere(charge);
        return charge->has_ledger ? weigh_ledger(charge, passes) : passes;
    }

    void open_ledger(Charge* charge) {
        charge->state = State{};
        charge->delta_due = DeltaDue::kNone;
        charge->cost = 0;
        place(charge).taken = 0;
        place(charge).is_unknown = false;
        if (place(charge).present) {
            load_state(place(charge).cell, kWide, &charge->state);
        } else {
            begin_ledger(charge->access->journal.zone(), charge->policy, &charge->state.ledger);
        }
    }

    /**
     * True if the charge is within this node's share. `passes` is the decision by the local count.
     */
    bool weigh_ledger(Charge* charge, bool passes) {
        Charge* opened = ledger_of(charge);
        LedgerState* ledger = &opened->state.ledger;
        if (has_new_window(charge)) {
            ledger->acknowledged = ledger->counted;
        }
        if (charge->decider == Decider::kDecided) {
            note_answered(ledger, least_left(*charge));
        }
        if (!is_weighed(*charge)) {
            return passes;
        }
        if (unreported(*ledger) == 0) {
            Millis now = now_of(*charge, now_).monotonic;
            Amount left =
                remaining_of(*charge->limit, place(charge).taken + asked_of_redis(*ledger, now));
            set_share(charge->access->journal.zone(), left, ledger);
        }
        Amount wanted = unreported(*ledger) + least_left(*charge);
        bool asks = passes && charge->decider == Decider::kByShare && !charge->dry_run &&
                    wanted > ledger->share;
        if (asks) {
            charge->verdict = Verdict::kUnknown;
        }
        place(opened).is_unknown = unreported(*ledger) == 0 && place(charge).taken == 0;
        opened->verdict = charge->verdict;
        opened->cost = charge->settled_later ? 0 : charge->cost;
        return passes && !asks;
    }

    /** True if the calendar window of the ledger's unreported count is over. */
    bool has_new_window(Charge* charge) {
        if (charge->limit->algorithm != Algorithm::kFixedWindow || !place(charge).present) {
            return false;
        }
        State before{};
        load_state(place(charge).cell, kSmall, &before);
        return is_of_older_window(*charge->limit, before, charge->state);
    }

    inline __attribute__((always_inline)) bool weigh_token_bucket(Charge* charge) {
        const Limit& limit = *charge->limit;
        token_bucket::Level level{};
        if (place(charge).present) {
            load_state(place(charge).cell, kSmall, &charge->state);
            level = token_bucket::unpack(charge->state.pair);
        }
        level = token_bucket::advance(limit, level, now_of(*charge, now_).monotonic);
        bool passes = fits(limit, level.used, charge->cost);
        place(charge).taken = level.used;
        charge->state.pair = token_bucket::pack(level, charge->policy, false);
        charge->verdict = passes ? Verdict::kPassed : Verdict::kRefused;
        return passes;
    }

    __attribute__((noinline)) bool weigh_other(Charge* charge) {
        const Limit& limit = *charge->limit;
        charge->state = State{};
        if (place(charge).present) {
            load_state(place(charge).cell, geometry_of(limit.algorithm), &charge->state);
        }
        advance(limit, &charge->state, now_of(*charge, now_));
        charge->state.head.policy = charge->policy & 0xff;
        charge->state.head.spent = 0;
        charge->state.head.refused = 0;
        if (may_have_others(*charge)) {
            find_others(charge);
        }
        place(charge).taken = used(limit, charge->state);
        bool passes = fits(limit, place(charge).taken, charge->cost);
        charge->verdict = passes ? Verdict::kPassed : Verdict::kRefused;
        return passes;
    }

    /** Finds the key's entries for other periods. A first entry for this period begins with what
     * those have counted. */
    __attribute__((noinline)) void find_others(Charge* charge) {
        const Limit& limit = *charge->limit;
        Bucket* second = place(charge).both ? second_of(*charge) : charge->first;
        BucketPair pair = {&geometry_of(limit.algorithm), charge->tag, charge->first, second};
        place(charge).others = find_other_periods(pair, limit.variant);
        if (!place(charge).present) {
            charge_any(limit, &charge->state, most_used(place(charge).others, limit, now_), now_);
        }
    }

    /**
     * Weighs a charge for use. The charge before it reports the reserved tokens, which count as
     * used.
     */
    __attribute__((noinline)) bool weigh_use(Charge* charge) {
        Charge* reservation = charge - 1;
        weigh_other(charge);
        charge_any(*charge->limit, &charge->state, place(reservation).taken, now_of(*charge, now_));
        Amount taken = used(*charge->limit, charge->state);
        bool passes = fits(*charge->limit, taken, least_left(*charge));
        charge->verdict = passes ? Verdict::kPassed : Verdict::kRefused;
        reservation->verdict = charge->verdict;
        return passes;
    }

    /**
     * Weighs a charge that is decided elsewhere and keeps its verdict: the local count decides
     * nothing. Requests in flight and reserved tokens are counted all the same.
     */
    __attribute__((noinline)) bool weigh_elsewhere(Charge* charge) {
        if (!is_taken_over(*charge)) {
            Verdict verdict = charge->verdict;
            weigh_other(charge);
            charge->verdict = verdict;
        }
        return true;
    }

    /** True if a charge of this decision has the cell. */
    bool is_pinned(Cell cell) {
        for (const Charge* charge = charges_; charge != end_; ++charge) {
            bool is_own =
                place(charge).cell.bucket == cell.bucket && place(charge).cell.index == cell.index;
            if (is_own || place(charge).others.has(cell)) {
                return true;
            }
        }
        return false;
    }

    __attribute__((noinline)) bool free_cells_for_all() {
        bool passes = true;
        for (Charge* charge = charges_; charge != end_; ++charge) {
            bool has_cell = place(charge).present && !has_flights(charge->limit->algorithm);
            if (!has_cell && counts(*charge) && !free_cell_for(charge)) {
                if (charge->decider == Decider::kByShare && is_ledger(*charge)) {
                    charge->verdict = Verdict::kUnknown;
                    passes = false;
                    continue;
                }
                place(charge).missing = charge->decider == Decider::kDecided || is_ledger(*charge);
                if (place(charge).missing) {
                    continue;
                }
                charge->access->journal.zone().header()->zone_full.fetch_add(
                    1, std::memory_order_relaxed);
                bool allow = charge->access->on_full == OnFull::kAllow || charge->dry_run;
                charge->verdict = allow ? Verdict::kUncounted : Verdict::kZoneFull;
                if (charge->limit->algorithm == Algorithm::kReservation) {
                    charge[1].verdict = charge->verdict;
                }
                passes &= allow;
            }
        }
        return passes;
    }

    __attribute__((noinline)) bool free_cell_for(Charge* charge) {
        if (has_flights(charge->limit->algorithm)) {
            const Journal& journal = charge->access->journal;
            bool is_known = was_served(journal.zone(), hash_of(*charge));
            charge->flight = charge->access->flights.reserve(journal, is_known);
            if (charge->flight == nullptr) {
                return false;
            }
        }
        return place(charge).present || find_cell(charge);
    }

    bool find_cell(Charge* charge) {
        // A second bucket that is not locked is not needed: the first has a free cell.
        Bucket* second = place(charge).both ? second_of(*charge) : charge->first;
        place(charge).cell =
            find_free_cell(&charge->access->journal, geometry_of(charge->limit->algorithm),
                           charge->first, second, now_, charge->access->on_full == OnFull::kEvict,
                           [this](Cell cell) { return is_pinned(cell); });
        return place(charge).cell.index != kNoCell;
    }

    void charge_all() {
        for (Charge* charge = charges_; charge != end_; ++charge) {
            if (charge->settled_later && is_weighed(*charge) &&
                charge->verdict == Verdict::kPassed) {
                charge_any(*charge->limit, &charge->state, charge->cost, now_of(*charge, now_));
            }
            if (!counts(*charge) || place(charge).missing) {
                release_flight(charge);
            } else if (is_wide(*charge)) {
                write(charge, kWide);
            } else {
                write(charge, kSmall);
            }
        }
    }

    inline __attribute__((always_inline)) void write(Charge* charge, const Geometry& geometry) {
        const Limit& limit = *charge->limit;
        State* state = &charge->state;
        if (is_ledger(*charge)) {
            write_ledger(charge);
        } else if (is_taken_over(*charge)) {
            if (charge->has_ledger) {
                take_over_beside_ledger(charge);
            }
            place(charge).taken = used(limit, *state);
        } else {
            ai_limit::charge(limit, state, charge->cost, now_of(*charge, now_));
            place(charge).taken += charge->cost;
        }
        state->words[0] |= uint64_t{place(charge).taken >= limit.capacity} << kSpentShift;
        Journal* journal = &charge->access->journal;
        if (!place(charge).present) {
            charge->first->overflowed |= place(charge).cell.bucket != charge->first ? 1 : 0;
            store_tag(journal, place(charge).cell, charge->tag);
        }
        store_state(journal, place(charge).cell, geometry, *state);
        if (place(charge).others.count != 0) {
            count_in(place(charge).others, journal, limit, charge->cost, now_);
        }
        if (charge->flight != nullptr) {
            write_record(charge);
        }
    }

    /**
     * Takes over a state and charges what the ledger has not reported yet. The ledger may have
     * ended with its window.
     */
    void take_over_beside_ledger(Charge* charge) {
        Charge* opened = ledger_of(charge);
        charge_used(*charge->limit, &charge->state, unreported(opened->state.ledger),
                    now_of(*charge, now_));
        Journal* journal = &opened->access->journal;
        if (place(opened).present && is_over(opened->state.ledger)) {
            store_tag(journal, place(opened).cell, 0);
        } else if (place(opened).present) {
            store_state(journal, place(opened).cell, kWide, opened->state);
        }
    }

    void write_ledger(Charge* charge) {
        charge->delta_due =
            count_in_ledger(&charge->state.ledger, charge->cost, now_of(*charge, now_).monotonic,
                            charge->limit->period_length);
        if (place(charge).is_unknown && charge->delta_due == DeltaDue::kLater) {
            charge->delta_due = DeltaDue::kSoon;
        }
    }

    static void write_record(Charge* charge) {
        FlightRecord record{};
        record.tag = charge->tag;
        record.policy = charge->policy & 0xff;
        record.amount = charge->cost & ((uint64_t{1} << 40) - 1);
        if (charge->limit->algorithm == Algorithm::kReservation) {
            record.used_policy = charge[1].policy & 0xff;
            record.limit_number = charge[1].limit->number & 15;
        }
        uint64_t words[2];
        std::memcpy(words, &record, sizeof(words));
        // The tag last: who copies the zone reads the record at any moment.
        uint64_t* place = reinterpret_cast<uint64_t*>(charge->flight);
        charge->access->journal.write(&place[1], words[1]);
        charge->access->journal.write(&place[0], words[0]);
    }

    static void release_flight(Charge* charge) {
        if (charge->flight != nullptr) {
            charge->access->flights.give_back(charge->access->journal, charge->flight);
            charge->flight = nullptr;
        }
    }

    /** An entry that refuses is kept longer than others (eviction.h). */
    __attribute__((noinline)) void mark_refusing() {
        for (Charge* charge = charges_; charge != end_; ++charge) {
            release_flight(charge);
            if (charge->verdict != Verdict::kRefused || !place(charge).present ||
                is_ledger(*charge)) {
                continue;
            }
            const Geometry& geometry = geometry_of(charge->limit->algorithm);
            uint64_t* word =
                state_words(place(charge).cell.bucket, geometry, place(charge).cell.index);
            State state;
            state.words[0] = *word;
            if (!state.head.refused) {
                state.head.refused = 1;
                charge->access->journal.write(word, state.words[0]);
            }
        }
    }

    Charge* charges_;
    Charge* end_;
    Now now_;
    Place places_[kMaxCharges];
    bool needs_cell_ = false;  // in a bucket or, for requests in flight, among the records
};

}  // namespace

bool admit_step_by_step(Charge* charges, size_t n, const Now& now) {
    return Admission(charges, n, now).decide();
}

bool would_admit(Charge* charges, size_t n, const Now& now) {
    return Admission(charges, n, now).look();
}

void end_flight(ZoneAccess* access, FlightRecord* flight) {
    end_flight(&access->journal, flight);
    access->flights.give_back(access->journal, flight);
}

Amount settle_charge(Charge* used, Amount tokens, const Now& now, State* after) {
    Charge* reservation = used - 1;
    ZoneAccess* access = used->access;
    tokens = tokens < kMaxAmount ? tokens : kMaxAmount;
    Settlement settlement = {used->limit, used->tag,           used->policy,
                             tokens,      reservation->flight, access->on_full == OnFull::kEvict};
    settlement.after = after;
    bool syncs = used->has_ledger && is_weighed(*used);
    Charge* ledger = syncs ? ledger_of(used) : nullptr;
    if (syncs) {
        ledger->delta_due = DeltaDue::kNone;
        settlement.ledger = {ledger->tag, ledger->policy, ledger->limit->period_length,
                             &ledger->delta_due};
    }
    Amount above = settle(&access->journal, settlement, now_of(*used, now));
    if (reservation->flight != nullptr) {
        access->flights.give_back(access->journal, reservation->flight);
        reservation->flight = nullptr;
    }
    return above;
}

}  // namespace ai_limit
