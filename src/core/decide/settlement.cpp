#include "core/decide/settlement.h"

#include "core/buckets/free_cell.h"
#include "core/buckets/period_entries.h"
#include "core/decide/flights.h"
#include "core/limits/algorithm.h"
#include "core/policies/policies.h"
#include "core/zone/bucket_pair.h"

namespace ai_limit {

namespace {

/** True if the key may have entries for other periods. */
bool may_have_others(const Zone& zone, const Settlement& settlement) {
    return has_window(settlement.limit->algorithm) &&
           zone.policy(settlement.policy)->in_redis == 0 &&
           has_several_periods(zone, settlement.policy);
}

/** Charges the tokens; both buckets are locked. Returns what of them is above the limit. */
Amount charge_tokens(Journal* journal, const Settlement& settlement, const BucketPair& pair,
                     Now now) {
    const Limit& limit = *settlement.limit;
    Cell cell = pair.find();
    bool present = cell.index != kNoCell;
    State state{};
    OtherPeriods others{};
    if (may_have_others(journal->zone(), settlement)) {
        others = find_other_periods(pair, limit.variant);
    }
    if (present) {
        load_state(cell, *pair.geometry, &state);
    } else {
        cell =
            find_free_cell(journal, *pair.geometry, pair.first, pair.second, now, settlement.evicts,
                           [&others](Cell other) { return others.has(other); });
        if (cell.index == kNoCell) {
            return 0;
        }
        pair.first->overflowed |= cell.bucket != pair.first ? 1 : 0;
        store_tag(journal, cell, pair.tag);
    }
    advance(limit, &state, now);
    if (!present) {
        charge_any(limit, &state, most_used(others, limit, now), now);
    }
    charge_used(limit, &state, settlement.tokens, now);
    Amount taken = used(limit, state);
    state.head.policy = settlement.policy & 0xff;
    state.head.spent = taken >= limit.capacity;
    state.head.refused = state.head.refused && state.head.spent;
    store_state(journal, cell, *pair.geometry, state);
    count_in(others, journal, limit, settlement.tokens, now);
    if (settlement.after != nullptr) {
        *settlement.after = state;
    }
    Amount above = taken > limit.capacity ? taken - limit.capacity : 0;
    return above < settlement.tokens ? above : settlement.tokens;
}

/** The known state of a key before its tokens are charged. */
struct Before {
    Amount taken;
    bool in_older_window;  // what was counted until now was counted in a calendar window that is
                           // over
};

Before look_before(const Settlement& settlement, const BucketPair& pair, Now now) {
    Cell cell = pair.find();
    if (cell.index == kNoCell) {
        return {};
    }
    State state{};
    load_state(cell, *pair.geometry, &state);
    State present = state;
    advance(*settlement.limit, &present, now);
    return {used(*settlement.limit, present),
            is_of_older_window(*settlement.limit, state, present)};
}

/** Counts the tokens for other nodes; without room they are counted here alone. */
void count_for_others(Journal* journal, const Settlement& settlement, const BucketPair& pair,
                      const Before& before, Now now) {
    Cell cell = pair.find();
    State state{};
    if (cell.index != kNoCell) {
        load_state(cell, kWide, &state);
    } else {
        uint64_t used_tag = settlement.tag;
        cell = find_free_cell(
            journal, kWide, pair.first, pair.second, now, settlement.evicts,
            [used_tag](Cell other) { return other.bucket->tags[other.index] == used_tag; });
        if (cell.index == kNoCell) {
            return;
        }
        pair.first->overflowed |= cell.bucket != pair.first ? 1 : 0;
        store_tag(journal, cell, pair.tag);
        begin_ledger(journal->zone(), settlement.ledger.policy, &state.ledger);
    }
    LedgerState* ledger = &state.ledger;
    if (before.in_older_window) {
        ledger->acknowledged = ledger->counted;
    }
    bool all_reported = unreported(*ledger) == 0;
    if (all_reported) {
        Amount taken = before.taken + asked_of_redis(*ledger, settlement.ledger.now);
        set_share(journal->zone(), remaining_of(*settlement.limit, taken), ledger);
    }
    DeltaDue delta_due =
        count_in_ledger(ledger, settlement.tokens, now.monotonic, settlement.ledger.interval);
    bool soon = all_reported && before.taken == 0 && delta_due == DeltaDue::kLater;
    *settlement.ledger.delta_due = soon ? DeltaDue::kSoon : delta_due;
    store_state(journal, cell, kWide, state);
}

}  // namespace

Amount settle(Journal* journal, const Settlement& settlement, Now now) {
    const Zone& zone = journal->zone();
    FlightRecord* flight = settlement.flight;
    BucketPair used =
        bucket_pair_of(zone, settlement.limit->algorithm, settlement.tag, settlement.policy);
    // A zone that was copied to another size may have no entries of this kind.
    bool counts = settlement.tokens != 0 && zone.buckets(*used.geometry) != 0;
    BucketPair reserved{};
    LockOrder locks;
    if (counts) {
        used.want(&locks, journal);
    }
    if (flight != nullptr) {
        reserved = bucket_pair_of(zone, Algorithm::kReservation, flight->tag,
                                  static_cast<uint32_t>(flight->policy));
        reserved.want(&locks, journal);
    }
    bool syncs = counts && settlement.ledger.policy != 0;
    BucketPair ledger{};
    if (syncs) {
        ledger = bucket_pair_of(zone, Algorithm::kLedger, settlement.ledger.tag,
                                settlement.ledger.policy);
        ledger.want(&locks, journal);
    }
    PolicyRecord* record = zone.policy(settlement.policy);
    locks.take_all();
    if (flight != nullptr) {
        take_off(journal, reserved.find(), flight);
    }
    Amount above = 0;
    // A number that has gone to another kind of policy has taken the counts with it.
    if (counts && record->slowest.algorithm == settlement.limit->algorithm) {
        Before before = syncs ? look_before(settlement, used, now) : Before{};
        above = charge_tokens(journal, settlement, used, now);
        if (syncs) {
            count_for_others(journal, settlement, ledger, before, now);
        }
    }
    journal->finish();
    if (above != 0) {
        record->overshoot.fetch_add(above, std::memory_order_relaxed);
    }
    return above;
}

uint64_t tag_of_use(const Zone& zone, const FlightRecord& flight, const Limit& limit) {
    uint32_t policy = static_cast<uint32_t>(flight.used_policy);
    uint64_t hash = tag_of(flight.tag, static_cast<uint32_t>(flight.policy));
    bool in_redis = zone.policy(policy)->in_redis != 0;
    return tag_of(hash, policy) ^ tag_bits(in_redis ? 0 : limit.variant);
}

void settle_as_reserved(Journal* journal, FlightRecord* flight, Now now) {
    uint32_t policy = static_cast<uint32_t>(flight->used_policy);
    const Limit& limit =
        find_limit(journal->zone(), policy, static_cast<uint32_t>(flight->limit_number));
    settle(journal,
           {&limit, tag_of_use(journal->zone(), *flight, limit), policy, flight->amount, flight,
            false},
           now);
}

}  // namespace ai_limit
