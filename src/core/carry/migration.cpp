#include "core/carry/migration.h"

#include <cstring>

#include "core/buckets/eviction.h"
#include "core/buckets/insert_entry.h"
#include "core/learn/habits.h"
#include "core/observe/meters.h"
#include "core/policies/overrides.h"
#include "core/upstream/account.h"
#include "core/zone/charged_answers.h"

namespace ai_limit {

namespace {

void copy_policies(const Zone& from, const Zone& to) {
    to.header()->uses = from.header()->uses;
    std::memcpy(static_cast<void*>(to.policy(1)), static_cast<const void*>(from.policy(1)),
                sizeof(PolicyRecord) * kMaxPolicies);
    copy_counts(from, to);
    copy_overrides(from, to);
    copy_charged_answers(from, to);
    copy_habits(from, to);
}

/** A record that its process may be changing at this moment, with the policy that belongs to the
 * tag. */
FlightRecord read(const FlightRecord* record) {
    const uint64_t* words = reinterpret_cast<const uint64_t*>(record);
    uint64_t copy[2];
    do {
        copy[0] = __atomic_load_n(&words[0], __ATOMIC_ACQUIRE);
        copy[1] = __atomic_load_n(&words[1], __ATOMIC_ACQUIRE);
    } while (copy[0] != __atomic_load_n(&words[0], __ATOMIC_ACQUIRE));
    FlightRecord flight;
    std::memcpy(&flight, copy, sizeof(flight));
    return flight;
}

Algorithm algorithm_of(const Zone& zone, const FlightRecord& flight) {
    return zone.policy(static_cast<uint32_t>(flight.policy))->slowest.algorithm;
}

/** False if there is no room for the count. */
bool count_flight(const Zone& to, FlightRecord flight, Now now) {
    uint32_t policy = static_cast<uint32_t>(flight.policy);
    for (Bucket* bucket :
         {first_bucket(to, kSmall, flight.tag, policy), second_bucket(to, kSmall, flight.tag)}) {
        uint32_t index = find_tag(bucket, kSmall, flight.tag);
        if (index != kNoCell) {
            State state{};
            load_state({bucket, index}, kSmall, &state);
            state.concurrency.used += flight.amount;
            std::memcpy(state_words(bucket, kSmall, index), state.words, kSmallStateBytes);
            return true;
        }
    }
    State state{};
    state.concurrency.policy = policy & 0xff;
    state.concurrency.used = flight.amount;
    return insert_entry(to, kSmall, flight.tag, state, {Worth::kInFlight, 0}, now);
}

void copy_process(const Zone& from, const Zone& to, uint32_t number) {
    to.process(number)->pid.store(from.process(number)->pid.load());
    to.process(number)->birth.store(from.process(number)->birth.load());
}

/**
 * Requests in flight come and go meanwhile. Their records, each read once, are what the new zone
 * counts: so each count there has a record that takes it back when its process ends, and each
 * record a count.
 */
void copy_flights(const Journal& from, const Zone& to, Now now) {
    for (uint32_t number = 1; number <= kMaxProcesses; ++number) {
        if (number != from.number()) {
            copy_process(from.zone(), to, number);
        }
    }
    // Without small entries there is nothing to count them with.
    uint32_t chunks = to.buckets(kSmall) != 0 ? from.zone().sizes().flight_chunks : 0;
    chunks = chunks < to.sizes().flight_chunks ? chunks : to.sizes().flight_chunks;
    for (uint32_t chunk = 0; chunk < chunks; ++chunk) {
        uint32_t owner = from.zone().chunk_owner(chunk)->load();
        to.chunk_owner(chunk)->store(owner);
        if (owner != 0) {
            copy_process(from.zone(), to, owner);  // it may have begun since
        }
        for (uint32_t i = 0; owner != 0 && i < kFlightsPerChunk; ++i) {
            FlightRecord flight = read(from.zone().flights(chunk) + i);
            to.flights(chunk)[i] = flight;
            if (flight.tag != 0 && (is_of_sharer(algorithm_of(from.zone(), flight)) ||
                                    !count_flight(to, flight, now))) {
                to.flights(chunk)[i].tag = 0;
            }
        }
    }
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
            Appraisal worth = appraise(zone, geometry, {bucket, index}, now);
            State state{};
            load_state({bucket, index}, geometry, &state);
            // Requests in flight are in the new zone already. Sharers begin anew, as the sums over
            // them do.
            if (worth.worth != Worth::kNothing && worth.worth != Worth::kInFlight &&
                !is_of_sharer(zone.policy(state.head.policy)->slowest.algorithm)) {
                insert_entry(to, geometry, bucket->tags[index], state, worth, now);
            }
        }
        from->finish();
    }
}

}  // namespace

void copy_zone(Journal* from, const Zone& to, Now now) {
    copy_policies(from->zone(), to);
    copy_flights(*from, to, now);
    copy_accounts(from->zone(), to);
    copy_entries(from, to, kSmall, now);
    copy_entries(from, to, kWide, now);
}

}  // namespace ai_limit
