#include "core/admission.h"

#include "core/eviction.h"

namespace ai_limit {

namespace {

/** A charge while it is decided on. */
struct Item {
    Charge* charge;
    Place place;
    Cell cell;  // where its entry is, or is to be
    bool both;  // both candidate buckets must be looked at
    bool present;
};

class Decision {
public:
    Decision(Charge* charges, size_t n, Now now) : n_(n), now_(now) {
        for (size_t i = 0; i < n; ++i) {
            Charge* charge = &charges[i];
            charge->verdict = Verdict::kPassed;
            charge->flight = nullptr;
            items_[i].charge = charge;
            items_[i].place = place_of(charge->access->journal.zone(),
                                       geometry_of(charge->limit->algorithm),
                                       tag_of(charge->hash, charge->policy), charge->policy);
            items_[i].both = false;
        }
    }

    bool decide() {
        do {
            lock_all();
        } while (!find_all());
        bool passes = true;
        for (size_t i = 0; i < n_; ++i) {
            passes &= weigh(&items_[i]) || items_[i].charge->dry_run;
        }
        passes = passes && make_room_for_all();
        if (passes) {
            charge_all();
        } else {
            mark_refusing();
        }
        finish();
        return passes;
    }

private:
    struct Lock {
        Journal* journal;
        Bucket* bucket;
    };

    void want_lock(Journal* journal, Bucket* bucket) {
        size_t i = locks_;
        while (i > 0 && locks_wanted_[i - 1].bucket > bucket) {
            --i;
        }
        if (i > 0 && locks_wanted_[i - 1].bucket == bucket) {
            return;
        }
        for (size_t j = locks_; j > i; --j) {
            locks_wanted_[j] = locks_wanted_[j - 1];
        }
        locks_wanted_[i] = {journal, bucket};
        ++locks_;
    }

    void lock_all() {
        locks_ = 0;
        for (size_t i = 0; i < n_; ++i) {
            Journal* journal = &items_[i].charge->access->journal;
            want_lock(journal, items_[i].place.first);
            if (items_[i].both) {
                want_lock(journal, items_[i].place.second);
            }
        }
        for (size_t i = 0; i < locks_; ++i) {
            locks_wanted_[i].journal->lock(locks_wanted_[i].bucket);
        }
    }

    /** Makes what was written final and opens the locks, in each zone. */
    void finish() {
        Journal* last = nullptr;
        for (size_t i = 0; i < n_; ++i) {
            Journal* journal = &items_[i].charge->access->journal;
            if (journal != last) {
                journal->finish();
            }
            last = journal;
        }
    }

    /** False where another bucket must be locked first; the locks are then open. */
    bool find_all() {
        bool found_all = true;
        for (size_t i = 0; i < n_; ++i) {
            found_all &= find(&items_[i]);
        }
        if (!found_all) {
            finish();
        }
        return found_all;
    }

    bool find(Item* item) {
        const Place& place = item->place;
        uint32_t index = find_tag(place.first, *place.geometry, place.tag);
        item->cell = {place.first, index};
        item->present = index != kNoCell;
        if (item->present) {
            return true;
        }
        if (!item->both) {
            bool settled = !place.first->overflowed &&
                           find_tag(place.first, *place.geometry, 0) != kNoCell;
            item->both = !settled;
            return settled;
        }
        index = find_tag(place.second, *place.geometry, place.tag);
        item->cell = {place.second, index};
        item->present = index != kNoCell;
        return true;
    }

    /** Whether the charge fits its limit. */
    bool weigh(Item* item) {
        Charge* charge = item->charge;
        const Limit& limit = *charge->limit;
        if (item->present) {
            load_state(item->cell, *item->place.geometry, &charge->state);
        } else {
            charge->state = State{};
        }
        advance(limit, &charge->state, now_);
        Amount taken = used(limit, charge->state);
        if (!fits(limit, taken, charge->cost)) {
            charge->verdict = Verdict::kRefused;
            return false;
        }
        return true;
    }

    bool is_pinned(const Item* end, Cell cell) const {
        for (const Item* item = items_; item != end; ++item) {
            if (item->cell.bucket == cell.bucket && item->cell.index == cell.index) {
                return true;
            }
        }
        return false;
    }

    /** Whether the charge is to be written. */
    static bool counts(const Charge& charge) {
        return charge.verdict == Verdict::kPassed && charge.cost != 0;
    }

    bool make_room_for_all() {
        bool passes = true;
        for (size_t i = 0; i < n_; ++i) {
            Item* item = &items_[i];
            if (counts(*item->charge) && !make_room(item)) {
                bool allow = item->charge->access->on_full == OnFull::kAllow || item->charge->dry_run;
                item->charge->verdict = allow ? Verdict::kUncounted : Verdict::kNoRoom;
                passes &= allow;
            }
        }
        return passes;
    }

    bool make_room(Item* item) {
        Charge* charge = item->charge;
        if (charge->limit->algorithm == Algorithm::kConcurrency) {
            charge->flight = charge->access->flights.reserve(charge->access->journal);
            if (charge->flight == nullptr) {
                return false;
            }
        }
        if (item->present) {
            return true;
        }
        const Place& place = item->place;
        if (!item->both) {
            // Found without an entry and with a free cell; charges of the same decision may have it.
            for (uint32_t i = 0; i < place.geometry->cells; ++i) {
                Cell cell = {place.first, i};
                if (place.first->tags[i] == 0 && !is_pinned(items_ + n_, cell)) {
                    item->cell = cell;
                    return true;
                }
            }
            // Only this decision's own charges are in the way: evict within the first bucket.
        }
        Place candidates = place;
        if (!item->both) {
            candidates.second = place.first;
        }
        Victim victim = choose_victim(charge->access->journal.zone(), candidates, now_,
                                      [this](Cell cell) { return is_pinned(items_ + n_, cell); });
        bool must_refuse = victim.worth == Worth::kRefused || victim.worth == Worth::kSpent;
        if (victim.cell.index == kNoCell ||
            (must_refuse && charge->access->on_full != OnFull::kEvict)) {
            return false;
        }
        item->cell = victim.cell;
        return true;
    }

    void charge_all() {
        for (size_t i = 0; i < n_; ++i) {
            Item* item = &items_[i];
            if (counts(*item->charge)) {
                write(item);
            } else {
                release_flight(item->charge);
            }
        }
    }

    void write(Item* item) {
        Charge* c = item->charge;
        charge(*c->limit, &c->state, c->cost);
        c->state.head.policy = c->policy & 0xff;
        c->state.head.refused = 0;
        c->state.head.spent = used(*c->limit, c->state) >= c->limit->capacity;
        Journal* journal = &c->access->journal;
        if (!item->present && item->cell.bucket != item->place.first) {
            item->place.first->overflowed = 1;
        }
        store_entry(journal, item->cell, *item->place.geometry, item->place.tag, c->state);
        if (c->flight != nullptr) {
            journal->write(&c->flight->policy, c->policy);
            journal->write(&c->flight->tag, item->place.tag);
        }
    }

    void release_flight(Charge* charge) {
        if (charge->flight != nullptr) {
            charge->access->flights.give_back(charge->access->journal, charge->flight);
            charge->flight = nullptr;
        }
    }

    /** An entry that refuses is kept longer than others (eviction.h). */
    void mark_refusing() {
        for (size_t i = 0; i < n_; ++i) {
            Item* item = &items_[i];
            release_flight(item->charge);
            if (item->charge->verdict != Verdict::kRefused || !item->present) {
                continue;
            }
            State state;
            load_state(item->cell, *item->place.geometry, &state);
            if (!state.head.refused) {
                state.head.refused = 1;
                store_entry(&item->charge->access->journal, item->cell, *item->place.geometry,
                            item->place.tag, state);
            }
        }
    }

    Item items_[kMaxCharges];
    size_t n_;
    Now now_;
    Lock locks_wanted_[2 * kMaxCharges];
    size_t locks_ = 0;
};

}  // namespace

bool admit(Charge* charges, size_t n, Now now) { return Decision(charges, n, now).decide(); }

void end_flight(ZoneAccess* access, FlightRecord* flight) {
    end_flight(&access->journal, flight);
    access->flights.give_back(access->journal, flight);
}

}  // namespace ai_limit
