#include "core/decide/writing.h"

#include <cstring>

#include "core/sharers/service.h"

namespace ai_limit {

namespace {

/**
 * Takes over a state and charges what the ledger has not reported yet. The ledger may have ended
 * with its window.
 */
void take_over_beside_ledger(ChargeEntry* entry, Now now) {
    Charge* charge = entry->charge;
    const ChargeEntry& opened = *entry->ledger;
    const State& ledger = opened.charge->state;
    charge_used(*charge->limit, &charge->state, unreported(ledger.ledger), now_of(*charge, now));
    if (opened.present && is_over(ledger.ledger)) {
        store_tag(opened.journal(), opened.cell, 0);
    } else if (opened.present) {
        store_state(opened.journal(), opened.cell, kWide, ledger);
    }
}

void count_in_ledger(ChargeEntry* entry, Now now) {
    Charge* charge = entry->charge;
    charge->delta_due =
        count_in_ledger(&charge->state.ledger, charge->cost, now_of(*charge, now).monotonic,
                        charge->limit->period_length);
    if (entry->is_unknown && charge->delta_due == DeltaDue::kLater) {
        charge->delta_due = DeltaDue::kSoon;
    }
}

void write_tag(const ChargeEntry& entry) {
    Charge* charge = entry.charge;
    charge->first->overflowed |= entry.cell.bucket != charge->first ? 1 : 0;
    store_tag(entry.journal(), entry.cell, charge->tag);
}

void write_record(const ChargeEntry& entry) {
    const Charge& charge = *entry.charge;
    FlightRecord record{};
    record.tag = charge.tag;
    record.policy = charge.policy & 0xff;
    record.amount = charge.cost & ((uint64_t{1} << 40) - 1);
    if (charge.limit->algorithm == Algorithm::kReservation) {
        const Charge& use = entry.policy->use;
        record.used_policy = use.policy & 0xff;
        record.limit_number = use.limit->number & 15;
    }
    uint64_t words[2];
    std::memcpy(words, &record, sizeof(words));
    // The tag last: who copies the zone reads the record at any moment.
    uint64_t* in_zone = reinterpret_cast<uint64_t*>(charge.flight);
    entry.journal()->write(&in_zone[1], words[1]);
    entry.journal()->write(&in_zone[0], words[0]);
}

// The geometry is a constant where it is called.
inline __attribute__((always_inline)) void write(ChargeEntry* entry, const Geometry& geometry,
                                                 Now now) {
    Charge* charge = entry->charge;
    const Limit& limit = *charge->limit;
    State* state = &charge->state;
    if (is_ledger(*entry)) {
        count_in_ledger(entry, now);
    } else if (is_taken_over(*charge)) {
        if (entry->ledger != nullptr) {
            take_over_beside_ledger(entry, now);
        }
        entry->taken = used(limit, *state);
    } else {
        ai_limit::charge(limit, state, charge->cost, now_of(*charge, now));
        entry->taken += charge->cost;
    }
    state->words[0] |= uint64_t{entry->taken >= limit.capacity} << kSpentShift;
    Journal* journal = entry->journal();
    if (!entry->present) {
        write_tag(*entry);
    }
    store_state(journal, entry->cell, geometry, *state);
    if (entry->others.count != 0) {
        count_in(entry->others, journal, limit, charge->cost, now);
    }
    if (charge->flight != nullptr) {
        write_record(*entry);
    }
}

}  // namespace

void write_charge(ChargeEntry* entry, Now now) {
    if (is_wide(*entry)) {
        write(entry, kWide, now);
    } else {
        write(entry, kSmall, now);
    }
}

void write_sharer(ChargeEntry* entry, bool passes, Now now) {
    const PolicyCharge& policy = *entry->policy;
    const Limit& limit = *policy.use.limit;
    SharerCharge* charge = policy.sharer;
    SharerState* state = &charge->state.sharer;
    charge->taken = passes ? policy.use.cost : 0;
    note_decision(limit, charge->part, charge->taken, state);
    if (passes) {
        note_service(sharer_ask(policy), charge->start, state);
    }
    if (!entry->present) {
        write_tag(*entry);
    }
    store_state(entry->journal(), entry->cell, kWide, charge->state);
    if (charge->flight != nullptr) {
        write_record(*entry);
    }
    charge->is_counted = true;
    KeyActivity* activity = use_activity(entry->zone(), charge->key_tag, now.monotonic);
    if (activity != nullptr) {
        if (passes) {
            advance_service(activity, charge->start);
        }
        count_activity(activity, activity_of(limit, charge->before), activity_of(limit, *state));
    }
}

void mark_as_refusing(const ChargeEntry& entry) {
    uint64_t* word = state_words(entry.cell.bucket, entry.geometry(), entry.cell.index);
    State state;
    state.words[0] = *word;
    if (!state.head.refused) {
        state.head.refused = 1;
        entry.journal()->write(word, state.words[0]);
    }
}

}  // namespace ai_limit
