#include "core/decide/growth.h"

#include <algorithm>
#include <cstring>

#include "core/buckets/period_entries.h"
#include "core/limits/algorithm.h"
#include "core/policies/policies.h"
#include "core/zone/bucket_pair.h"

namespace ai_limit {

namespace {

/** True if the key may have entries for other periods. */
bool may_have_others(const Zone& zone, const Growth& growth) {
    return has_window(growth.limit->algorithm) && zone.policy(growth.policy)->in_redis == 0 &&
           has_several_periods(zone, growth.policy);
}

/** Returns how much of the limit the key has used; its buckets are locked. */
Amount used_of_limit(const Zone& zone, const Growth& growth, const BucketPair& pair, Now now) {
    const Limit& limit = *growth.limit;
    const Cell cell = pair.find();
    State state{};
    if (cell.index != kNoCell) {
        load_state(cell, *pair.geometry, &state);
    }
    advance(limit, &state, now);
    if (cell.index == kNoCell && may_have_others(zone, growth)) {
        charge_any(limit, &state, most_used(find_other_periods(pair, limit.variant), limit, now),
                   now);
    }
    return used(limit, state);
}

/** A number that has gone to another kind of policy has taken the counts with it. */
bool has_kept_its_kind(const Zone& zone, const Growth& growth) {
    const FlightRecord& flight = *growth.flight;
    return zone.policy(growth.policy)->slowest.algorithm == growth.limit->algorithm &&
           has_flights(zone.policy(static_cast<uint32_t>(flight.policy))->slowest.algorithm);
}

/** Returns what may be reserved beside what the key has used and reserved. */
Amount grant(const Growth& growth, Amount taken, Amount reserved) {
    if (growth.is_decided) {
        return std::min(growth.more, kMaxAmount - std::min(reserved, kMaxAmount));
    }
    const Amount room = remaining_of(*growth.limit, taken + reserved);
    const Amount lent = room - std::min(room, growth.claimed);
    return std::min({growth.more, room, std::max(growth.own, lent)});
}

void write_amount(Journal* journal, FlightRecord* flight, Amount amount) {
    FlightRecord record = *flight;
    record.amount = amount & ((uint64_t{1} << 40) - 1);
    uint64_t words[2];
    std::memcpy(words, &record, sizeof(words));
    journal->write(reinterpret_cast<uint64_t*>(flight) + 1, words[1]);
}

}  // namespace

Amount grow_reservation(Journal* journal, const Growth& growth, Now now) {
    const Zone& zone = journal->zone();
    const BucketPair used =
        bucket_pair_of(zone, growth.limit->algorithm, growth.tag, growth.policy);
    const BucketPair reserved = bucket_pair_of(zone, Algorithm::kReservation, growth.flight->tag,
                                               static_cast<uint32_t>(growth.flight->policy));
    // A zone that was copied to another size may have no entries of this kind.
    if (zone.buckets(*used.geometry) == 0) {
        return 0;
    }
    LockOrder locks;
    used.want(&locks, journal);
    reserved.want(&locks, journal);
    locks.take_all();
    Amount granted = 0;
    const Cell cell = reserved.find();
    if (cell.index != kNoCell && has_kept_its_kind(zone, growth)) {
        State state{};
        load_state(cell, kSmall, &state);
        granted = grant(growth, used_of_limit(zone, growth, used, now), state.concurrency.used);
        if (granted != 0) {
            state.concurrency.used += granted;
            store_state(journal, cell, kSmall, state);
            write_amount(journal, growth.flight, growth.flight->amount + granted);
        }
    }
    journal->finish();
    return granted;
}

}  // namespace ai_limit
