#include "core/settlement.h"

#include "core/algorithm.h"
#include "core/flights.h"
#include "core/home.h"
#include "core/policies.h"
#include "core/room.h"

namespace ai_limit {

namespace {

/** Charges the tokens; the home's buckets are locked. Returns what of them is above the limit. */
Amount charge_tokens(Journal* journal, const Settlement& settlement, const Home& home, Now now) {
    const Limit& limit = *settlement.limit;
    Cell cell = home.find();
    bool present = cell.index != kNoCell;
    State state{};
    if (present) {
        load_state(cell, *home.geometry, &state);
    } else {
        cell = find_room(journal, *home.geometry, home.first, home.second, now, settlement.evicts,
                         [](Cell) { return false; });
        if (cell.index == kNoCell) {
            return 0;
        }
        home.first->overflowed |= cell.bucket != home.first ? 1 : 0;
        store_tag(journal, cell, home.tag);
    }
    advance(limit, &state, now);
    charge_any(limit, &state, settlement.tokens);
    Amount taken = used(limit, state);
    state.head.policy = settlement.policy & 0xff;
    state.head.spent = taken >= limit.capacity;
    state.head.refused = state.head.refused && state.head.spent;
    store_state(journal, cell, *home.geometry, state);
    Amount above = taken > limit.capacity ? taken - limit.capacity : 0;
    return above < settlement.tokens ? above : settlement.tokens;
}

}  // namespace

Amount settle(Journal* journal, const Settlement& settlement, Now now) {
    const Zone& zone = journal->zone();
    FlightRecord* flight = settlement.flight;
    Home used = home_of(zone, settlement.limit->algorithm, settlement.tag, settlement.policy);
    // A zone that was copied to another size may have no entries of this kind.
    bool counts = settlement.tokens != 0 && zone.buckets(*used.geometry) != 0;
    Home held{};
    LockOrder locks;
    if (counts) {
        used.want(&locks, journal);
    }
    if (flight != nullptr) {
        held = home_of(zone, Algorithm::kHold, flight->tag, static_cast<uint32_t>(flight->policy));
        held.want(&locks, journal);
    }
    PolicyRecord* record = zone.policy(settlement.policy);
    locks.take_all();
    if (flight != nullptr) {
        take_off(journal, held.find(), flight);
    }
    Amount above = 0;
    // A number that has gone to another kind of policy has taken the counts with it.
    if (counts && record->slowest.algorithm == settlement.limit->algorithm) {
        above = charge_tokens(journal, settlement, used, now);
    }
    journal->finish();
    if (above != 0) {
        record->overshoot.fetch_add(above, std::memory_order_relaxed);
    }
    return above;
}

void settle_as_held(Journal* journal, FlightRecord* flight, Now now) {
    uint32_t policy = static_cast<uint32_t>(flight->used_policy);
    const Limit& limit =
        find_limit(journal->zone(), policy, static_cast<uint32_t>(flight->limit_number));
    uint64_t tag = tag_of(tag_of(flight->tag, static_cast<uint32_t>(flight->policy)), policy);
    settle(journal, {&limit, tag, policy, flight->amount, flight, false}, now);
}

}  // namespace ai_limit
