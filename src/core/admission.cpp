#include "core/admission.h"

#include "core/displacement.h"
#include "core/eviction.h"
#include "core/token_bucket.h"

namespace ai_limit {

namespace {

bool is_wide(const Charge& charge) {
    return is_wide(charge.limit->algorithm);
}

/** Whether the charge is to be written. */
bool counts(const Charge& charge) {
    return charge.verdict == Verdict::kPassed && charge.cost != 0;
}

/** The locks of a decision, in the order of their addresses. */
class Locks {
public:
    void want(Journal* journal, Bucket* bucket) {
        size_t i = count_;
        while (i > 0 && wanted_[i - 1].bucket > bucket) {
            --i;
        }
        if (i > 0 && wanted_[i - 1].bucket == bucket) {
            return;
        }
        Wanted displaced = {journal, bucket};
        for (++count_; i < count_; ++i) {
            Wanted next = wanted_[i];
            wanted_[i] = displaced;
            displaced = next;
        }
    }

    void take_all() {
        for (size_t i = 0; i < count_; ++i) {
            wanted_[i].journal->lock(wanted_[i].bucket);
        }
    }

private:
    struct Wanted {
        Journal* journal;
        Bucket* bucket;
    };
    Wanted wanted_[2 * kMaxCharges];
    size_t count_ = 0;
};

class Decision {
public:
    Decision(Charge* charges, size_t n, Now now) : charges_(charges), end_(charges + n), now_(now) {
        for (Charge* charge = charges_; charge != end_; ++charge) {
            place(charge).both = false;
        }
    }

    bool decide() {
        do {
            lock_all();
        } while (!find_all());
        bool passes = true;
        for (Charge* charge = charges_; charge != end_; ++charge) {
            passes &= weigh(charge) | charge->dry_run;
        }
        if (passes && (!needs_room_ || make_room_for_all())) {
            charge_all();
        } else {
            passes = false;
            mark_refusing();
        }
        finish();
        return passes;
    }

private:
    /** Where a charge's entry is or is to be. */
    struct Place {
        bool both;     // both candidate buckets must be looked at
        bool present;  // the entry is in `cell`
        Cell cell;
        Amount taken;  // of the limit, before this charge
    };

    Place& place(const Charge* charge) { return places_[charge - charges_]; }

    void lock_all() {
        if (end_ - charges_ == 1 && !place(charges_).both) {
            charges_->access->journal.lock(charges_->first);
            return;
        }
        Locks locks;
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

    /** False where another bucket must be locked first; the locks are then open. */
    bool find_all() {
        bool found_all = true;
        needs_room_ = false;
        for (Charge* charge = charges_; charge != end_; ++charge) {
            found_all &= is_wide(*charge) ? find(charge, kWide) : find(charge, kSmall);
            needs_room_ |=
                !place(charge).present | (charge->limit->algorithm == Algorithm::kConcurrency);
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
        return place(charge).present || find_elsewhere(charge, geometry);
    }

    __attribute__((noinline)) bool find_elsewhere(Charge* charge, const Geometry& geometry) {
        if (!place(charge).both) {
            bool settled = !charge->first->overflowed && has_room_in_first(*charge, geometry);
            place(charge).both = !settled;
            return settled;
        }
        Bucket* second = second_of(*charge);
        place(charge).cell = {second, find_tag(second, geometry, charge->tag)};
        place(charge).present = place(charge).cell.index != kNoCell;
        return true;
    }

    /** Whether the first bucket has a free cell beside those that earlier charges take. */
    bool has_room_in_first(const Charge& charge, const Geometry& geometry) {
        uint32_t wanted = 1;
        for (const Charge* other = charges_; other != &charge; ++other) {
            wanted += !place(other).present && other->first == charge.first ? 1 : 0;
        }
        for (uint32_t cell = 0; cell < geometry.cells && wanted != 0; ++cell) {
            wanted -= charge.first->tags[cell] == 0 ? 1 : 0;
        }
        return wanted == 0;
    }

    /** Whether the charge fits its limit. */
    bool weigh(Charge* charge) {
        if (charge->limit->algorithm == Algorithm::kTokenBucket) {
            return weigh_token_bucket(charge);
        }
        return weigh_other(charge);
    }

    inline __attribute__((always_inline)) bool weigh_token_bucket(Charge* charge) {
        const Limit& limit = *charge->limit;
        token_bucket::Level level{};
        if (place(charge).present) {
            load_state(place(charge).cell, kSmall, &charge->state);
            level = token_bucket::unpack(charge->state.words);
        }
        level = token_bucket::advance(limit, level, now_.monotonic);
        bool passes = fits(limit, level.used, charge->cost);
        place(charge).taken = level.used;
        token_bucket::pack(level, charge->policy, false, &charge->state);
        charge->verdict = passes ? Verdict::kPassed : Verdict::kRefused;
        return passes;
    }

    __attribute__((noinline)) bool weigh_other(Charge* charge) {
        const Limit& limit = *charge->limit;
        charge->state = State{};
        if (place(charge).present) {
            load_state(place(charge).cell, geometry_of(limit.algorithm), &charge->state);
        }
        advance(limit, &charge->state, now_);
        charge->state.head.policy = charge->policy & 0xff;
        charge->state.head.spent = 0;
        charge->state.head.refused = 0;
        place(charge).taken = used(limit, charge->state);
        bool passes = fits(limit, place(charge).taken, charge->cost);
        charge->verdict = passes ? Verdict::kPassed : Verdict::kRefused;
        return passes;
    }

    /** Whether a charge of this decision has the cell. */
    bool is_pinned(Cell cell) {
        for (const Charge* charge = charges_; charge != end_; ++charge) {
            if (place(charge).cell.bucket == cell.bucket &&
                place(charge).cell.index == cell.index) {
                return true;
            }
        }
        return false;
    }

    __attribute__((noinline)) bool make_room_for_all() {
        bool passes = true;
        for (Charge* charge = charges_; charge != end_; ++charge) {
            bool has_room =
                place(charge).present && charge->limit->algorithm != Algorithm::kConcurrency;
            if (!has_room && counts(*charge) && !make_room(charge)) {
                bool allow = charge->access->on_full == OnFull::kAllow || charge->dry_run;
                charge->verdict = allow ? Verdict::kUncounted : Verdict::kNoRoom;
                passes &= allow;
            }
        }
        return passes;
    }

    __attribute__((noinline)) bool make_room(Charge* charge) {
        if (charge->limit->algorithm == Algorithm::kConcurrency) {
            charge->flight = charge->access->flights.reserve(charge->access->journal);
            if (charge->flight == nullptr) {
                return false;
            }
        }
        return place(charge).present || find_room(charge);
    }

    bool find_room(Charge* charge) {
        const Geometry& geometry = geometry_of(charge->limit->algorithm);
        // A second bucket that is not locked is not needed: the first has a free cell.
        Bucket* second = place(charge).both ? second_of(*charge) : charge->first;
        const auto pinned = [this](Cell cell) { return is_pinned(cell); };
        Journal* journal = &charge->access->journal;
        Victim victim =
            choose_victim(journal->zone(), geometry, charge->first, second, now_, pinned);
        if (victim.worth >= Worth::kLive) {
            Cell cell = move_one_away(journal, geometry, charge->first, second, pinned);
            if (cell.index != kNoCell) {
                place(charge).cell = cell;
                return true;
            }
        }
        bool refuses = victim.worth == Worth::kRefused || victim.worth == Worth::kSpent;
        if (victim.cell.index == kNoCell ||
            (refuses && charge->access->on_full != OnFull::kEvict)) {
            return false;
        }
        place(charge).cell = victim.cell;
        return true;
    }

    void charge_all() {
        for (Charge* charge = charges_; charge != end_; ++charge) {
            if (!counts(*charge)) {
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
        ai_limit::charge(limit, state, charge->cost);
        state->words[0] |= uint64_t{place(charge).taken + charge->cost >= limit.capacity}
                           << kSpentShift;
        Journal* journal = &charge->access->journal;
        if (!place(charge).present) {
            charge->first->overflowed |= place(charge).cell.bucket != charge->first ? 1 : 0;
            store_tag(journal, place(charge).cell, charge->tag);
        }
        store_state(journal, place(charge).cell, geometry, *state);
        if (charge->flight != nullptr) {
            journal->write(&charge->flight->policy, charge->policy);
            journal->write(&charge->flight->tag, charge->tag);
        }
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
            if (charge->verdict != Verdict::kRefused || !place(charge).present) {
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
    bool needs_room_ = false;  // in a bucket or, for requests in flight, among the records
};

}  // namespace

bool admit_step_by_step(Charge* charges, size_t n, const Now& now) {
    return Decision(charges, n, now).decide();
}

void end_flight(ZoneAccess* access, FlightRecord* flight) {
    end_flight(&access->journal, flight);
    access->flights.give_back(access->journal, flight);
}

}  // namespace ai_limit
