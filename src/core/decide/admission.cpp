#include "core/decide/admission.h"

#include "core/buckets/free_cell.h"
#include "core/buckets/served_keys.h"
#include "core/decide/charge_entries.h"
#include "core/decide/growth.h"
#include "core/decide/settlement.h"
#include "core/decide/sharer.h"
#include "core/decide/weighing.h"
#include "core/decide/writing.h"

namespace ai_limit {

namespace {

/** Decides on all charges of a request: lock, weigh, find room, then write all or none. */
class Admission {
public:
    Admission(PolicyCharge* charges, size_t n, Now now) : entries_(charges, n), now_(now) {}

    bool decide() {
        bool passes = weigh_all();
        if (passes && (!entries_.need_room() || free_cells_for_all())) {
            charge_all();
        } else {
            passes = false;
            mark_refusing();
            note_refused_sharers();
        }
        entries_.finish();
        return passes;
    }

    /** Decides, but charges nothing where the request passes. */
    bool look() {
        bool passes = weigh_all();
        if (!passes) {
            mark_refusing();
            note_refused_sharers();
        }
        entries_.finish();
        return passes;
    }

    /** Decides, and leaves all entries as they are. */
    void only_weigh() {
        weigh_all();
        entries_.finish();
    }

private:
    bool weigh_all() {
        entries_.lock();
        bool passes = true;
        for (ChargeEntry& entry : entries_) {
            passes &= weigh(&entry, now_) | entry.charge->dry_run;
        }
        return passes;
    }

    __attribute__((noinline)) bool free_cells_for_all() {
        bool passes = true;
        for (ChargeEntry& entry : entries_) {
            bool has_cell = entry.present && !has_flights(entry.limit().algorithm);
            if (!has_cell && counts(entry) && !free_cell_for(&entry)) {
                passes &= pass_without_room(&entry);
            }
        }
        return passes;
    }

    /** True if the request may pass although there is no room for the entry. */
    static bool pass_without_room(ChargeEntry* entry) {
        Charge* charge = entry->charge;
        if (charge->decider == Decider::kByShare && is_ledger(*entry)) {
            entry->policy->use.verdict = Verdict::kUnknown;
            return false;
        }
        // Without room for its sharer, a request counts for its key alone.
        entry->missing =
            charge->decider == Decider::kDecided || is_ledger(*entry) || is_sharer(*entry);
        if (entry->missing) {
            return true;
        }
        entry->zone().header()->zone_full.fetch_add(1, std::memory_order_relaxed);
        bool allow = charge->access->on_full == OnFull::kAllow || charge->dry_run;
        charge->verdict = allow ? Verdict::kUncounted : Verdict::kZoneFull;
        if (charge->limit->algorithm == Algorithm::kReservation) {
            entry->policy->use.verdict = charge->verdict;
        }
        return allow;
    }

    /** Finds what the charge needs: a record if it will be in flight, and a cell. */
    __attribute__((noinline)) bool free_cell_for(ChargeEntry* entry) {
        Charge* charge = entry->charge;
        if (has_flights(charge->limit->algorithm)) {
            bool is_known = was_served(entry->zone(), hash_of(entry->policy->use));
            charge->flight = charge->access->flights.reserve(*entry->journal(), is_known);
            if (charge->flight == nullptr) {
                return false;
            }
        }
        return entry->present || find_cell(entry);
    }

    bool find_cell(ChargeEntry* entry) {
        const Charge& charge = *entry->charge;
        // A second bucket that is not locked is not needed: the first has a free cell.
        Bucket* second = entry->both ? entry->second() : charge.first;
        entry->cell = find_free_cell(entry->journal(), entry->geometry(), charge.first, second,
                                     now_, charge.access->on_full == OnFull::kEvict,
                                     [this](Cell cell) { return entries_.is_pinned(cell); });
        return entry->cell.index != kNoCell;
    }

    void charge_all() {
        for (ChargeEntry& entry : entries_) {
            Charge* charge = entry.charge;
            if (is_sharer(entry)) {
                count_sharer(&entry);
                continue;
            }
            if (entry.reservation != nullptr && is_weighed(*charge) &&
                charge->verdict == Verdict::kPassed) {
                charge_any(*charge->limit, &charge->state, charge->cost, now_of(*charge, now_));
            }
            if (!counts(entry) || entry.missing) {
                release_flight(charge);
            } else {
                write_charge(&entry, now_);
            }
        }
    }

    __attribute__((noinline)) void count_sharer(ChargeEntry* entry) const {
        const bool passes = entry->policy->use.verdict == Verdict::kPassed && !entry->missing;
        if (!passes) {
            release_flight(entry->charge);
        }
        if (!entry->missing) {
            write_sharer(entry, passes, now_);
        }
    }

    /** Notes what refused requests asked for: their sharers are active as well. */
    __attribute__((noinline)) void note_refused_sharers() {
        for (ChargeEntry& entry : entries_) {
            // A request that others are asked about is noted when they have answered.
            const bool notes = is_sharer(entry) && entry.policy->use.verdict != Verdict::kUnknown;
            if (notes && (entry.present || find_cell(&entry))) {
                write_sharer(&entry, false, now_);
            }
        }
    }

    __attribute__((noinline)) void mark_refusing() {
        for (ChargeEntry& entry : entries_) {
            release_flight(entry.charge);
            if (entry.charge->verdict == Verdict::kRefused && entry.present && !is_ledger(entry)) {
                mark_as_refusing(entry);
            }
        }
    }

    static void release_flight(Charge* charge) {
        if (charge->flight != nullptr) {
            charge->access->flights.give_back(charge->access->journal, charge->flight);
            charge->flight = nullptr;
        }
    }

    ChargeEntries entries_;
    Now now_;
};

/** Reserves for a charge that has reserved nothing yet: all of `more` or nothing. Says in `left`
 * how much could be reserved if that is refused. */
bool begin_reservation(const PolicyCharge& charge, Amount more, const Now& now, Amount* left) {
    PolicyCharge copy = {charge.use, charge.reservation, nullptr, charge.sharer};
    // A state that was taken over once is old.
    const Decider decider = in_redis(charge.use) ? Decider::kAlone : Decider::kHere;
    for (Charge* one : {&copy.use, copy.reservation}) {
        one->decider = decider;
        one->cost = more;
        one->dry_run = false;
        one->verdict = Verdict::kPassed;
    }
    const Amount taken = copy.sharer != nullptr ? copy.sharer->taken : 0;
    const bool passes = admit_step_by_step(&copy, 1, now);
    *left = copy.use.verdict == Verdict::kRefused
                ? remaining_of(*copy.use.limit, used(*copy.use.limit, copy.use.state))
                : 0;
    if (copy.sharer != nullptr) {
        copy.sharer->taken += taken;
        *left = room_of_sharer(copy.sharer->part, *left);
    }
    return passes;
}

/** Reserves more for a charge that has reserved something, as much as its sharer may have. */
Amount grow_for_sharer(PolicyCharge* charge, Growth growth, const Now& now) {
    const SharerPart part = weigh_growth(*charge, now);
    growth.own = part.left;
    growth.claimed = part.claimed;
    const Amount granted =
        grow_reservation(&charge->use.access->journal, growth, now_of(charge->use, now));
    take_more(charge, granted);
    return granted;
}

}  // namespace

bool admit_step_by_step(PolicyCharge* charges, size_t n, const Now& now) {
    return Admission(charges, n, now).decide();
}

bool would_admit(PolicyCharge* charges, size_t n, const Now& now) {
    return Admission(charges, n, now).look();
}

void look_at_charges(PolicyCharge* charges, size_t n, const Now& now) {
    Admission(charges, n, now).only_weigh();
}

void end_flight(ZoneAccess* access, FlightRecord* flight) {
    end_flight(&access->journal, flight);
    access->flights.give_back(access->journal, flight);
}

Amount grow_charge(PolicyCharge* charge, Amount more, bool is_decided, const Now& now) {
    const Charge& use = charge->use;
    Charge* reservation = charge->reservation;
    if (reservation->flight != nullptr) {
        const Growth growth = {use.limit,           use.tag,   use.policy, more,
                               reservation->flight, is_decided};
        return charge->sharer != nullptr
                   ? grow_for_sharer(charge, growth, now)
                   : grow_reservation(&use.access->journal, growth, now_of(use, now));
    }
    if (charge->sharer != nullptr) {
        const Amount own = weigh_growth(*charge, now).left;
        more = own != 0 && own < more ? own : more;
    }
    Amount left = 0;
    if (begin_reservation(*charge, more, now, &left)) {
        return more;
    }
    Amount nothing = 0;
    return left != 0 && left < more && begin_reservation(*charge, left, now, &nothing) ? left : 0;
}

Amount settle_charge(PolicyCharge* charge, Amount tokens, const Now& now, State* after) {
    const Charge& use = charge->use;
    Charge* reservation = charge->reservation;
    ZoneAccess* access = use.access;
    tokens = tokens < kMaxAmount ? tokens : kMaxAmount;
    Settlement settlement = {use.limit,           use.tag,
                             use.policy,          tokens,
                             reservation->flight, access->on_full == OnFull::kEvict};
    settlement.after = after;
    if (charge->ledger != nullptr && is_weighed(use)) {
        Charge* ledger = charge->ledger;
        ledger->delta_due = DeltaDue::kNone;
        settlement.ledger = {ledger->tag, ledger->policy, ledger->limit->period_length,
                             &ledger->delta_due, now.monotonic};
    }
    Amount above = settle(&access->journal, settlement, now_of(use, now));
    if (reservation->flight != nullptr) {
        access->flights.give_back(access->journal, reservation->flight);
        reservation->flight = nullptr;
    }
    if (charge->sharer != nullptr) {
        settle_sharer(*charge, tokens);
    }
    return above;
}

}  // namespace ai_limit
