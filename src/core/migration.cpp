#include "core/migration.h"

#include <cstring>

#include "core/eviction.h"

namespace ai_limit {

namespace {

void copy_policies(const Zone& from, const Zone& to) {
    to.header()->uses = from.header()->uses;
    std::memcpy(static_cast<void*>(to.policy(1)), static_cast<const void*>(from.policy(1)),
                sizeof(PolicyRecord) * kMaxPolicies);
}

void copy_flights(const Journal& from, const Zone& to) {
    for (uint32_t number = 1; number <= kMaxProcesses; ++number) {
        if (number != from.number()) {
            to.process(number)->pid.store(from.zone().process(number)->pid.load());
            to.process(number)->birth.store(from.zone().process(number)->birth.load());
        }
    }
    uint32_t chunks = from.zone().sizes().flight_chunks;
    chunks = chunks < to.sizes().flight_chunks ? chunks : to.sizes().flight_chunks;
    for (uint32_t chunk = 0; chunk < chunks; ++chunk) {
        uint32_t owner = from.zone().chunk_owner(chunk)->load();
        to.chunk_owner(chunk)->store(owner);
        if (owner != 0) {
            std::memcpy(to.flights(chunk), from.zone().flights(chunk),
                        sizeof(FlightRecord) * kFlightsPerChunk);
        }
    }
}

void insert(const Zone& to, const Geometry& geometry, uint64_t tag, const State& state, Now now) {
    Place place = place_of(to, geometry, tag, state.head.policy);
    Cell cell = {place.first, find_tag(place.first, geometry, 0)};
    if (cell.index == kNoCell) {
        Victim victim = choose_victim(to, place, now, [](Cell) { return false; });
        if (victim.cell.index == kNoCell) {
            return;
        }
        cell = victim.cell;
        place.first->overflowed |= cell.bucket != place.first ? 1 : 0;
    }
    cell.bucket->tags[cell.index] = tag;
    std::memcpy(state_words(cell.bucket, geometry, cell.index), state.words,
                geometry.state_words * sizeof(uint64_t));
}

void copy_entries(Journal* from, const Zone& to, const Geometry& geometry, Now now) {
    const Zone& zone = from->zone();
    if (to.buckets(geometry) == 0) {
        return;
    }
    for (uint64_t i = 0; i < zone.buckets(geometry); ++i) {
        Bucket* bucket = zone.bucket(geometry, i);
        from->lock(bucket);
        for (uint32_t index = 0; index < geometry.cells; ++index) {
            State state{};
            load_state({bucket, index}, geometry, &state);
            if (bucket->tags[index] != 0 && state.head.policy != 0) {
                insert(to, geometry, bucket->tags[index], state, now);
            }
        }
        from->finish();
    }
}

}  // namespace

void copy_zone(Journal* from, const Zone& to, Now now) {
    copy_policies(from->zone(), to);
    copy_flights(*from, to);
    copy_entries(from, to, kSmall, now);
    copy_entries(from, to, kWide, now);
}

}  // namespace ai_limit
