#include "core/decide/flights.h"

#include "core/decide/settlement.h"
#include "core/limits/algorithm.h"
#include "core/sharers/part.h"
#include "core/turns/queue.h"
#include "core/zone/bucket_pair.h"

namespace ai_limit {

namespace {

void reclaim(Journal* journal, uint32_t gone, Now now) {
    const Zone& zone = journal->zone();
    for (uint32_t chunk = 0; chunk < zone.sizes().flight_chunks; ++chunk) {
        if (zone.chunk_owner(chunk)->load() != gone) {
            continue;
        }
        FlightRecord* records = zone.flights(chunk);
        for (uint32_t i = 0; i < kFlightsPerChunk; ++i) {
            const uint64_t tag = records[i].tag;
            if (tag != 0 && records[i].used_policy != 0) {
                settle_as_reserved(journal, &records[i], now);
            } else if (tag != 0) {
                end_flight(journal, &records[i]);
            }
            if (tag != 0) {
                note_room(zone, tag);
            }
        }
        zone.chunk_owner(chunk)->store(0);
    }
    free_places(zone, gone);
}

}  // namespace

template <uint32_t kMost>
bool Flights::Part<kMost>::claim(const Journal& journal, uint32_t from, uint32_t to) {
    const Zone& zone = journal.zone();
    // Processes begin their search in different places.
    uint32_t first = journal.number() * 64 % zone.sizes().flight_chunks;
    for (uint32_t i = 0; count < kMost && i < to - from; ++i) {
        uint32_t number = from + (first + i) % (to - from);
        uint32_t nobody = 0;
        if (zone.chunk_owner(number)->compare_exchange_strong(nobody, journal.number())) {
            chunks[count++] = {number, ~uint64_t{0}};
            return true;
        }
    }
    return false;
}

template <uint32_t kMost>
FlightRecord* Flights::Part<kMost>::take(const Journal& journal, uint32_t from, uint32_t to) {
    while (first_free < count && chunks[first_free].free == 0) {
        ++first_free;
    }
    if (first_free == count && !claim(journal, from, to)) {
        return nullptr;
    }
    Chunk* chunk = &chunks[first_free];
    uint32_t bit = static_cast<uint32_t>(__builtin_ctzll(chunk->free));
    chunk->free &= chunk->free - 1;
    return journal.zone().flights(chunk->number) + bit;
}

/** False if the chunk is not of this part. */
template <uint32_t kMost>
bool Flights::Part<kMost>::give_back(const Journal& journal, uint32_t number, uint64_t bit) {
    for (uint32_t i = 0; i < count; ++i) {
        if (chunks[i].number != number) {
            continue;
        }
        chunks[i].free |= bit;
        first_free = first_free < i ? first_free : i;
        // The last chunk goes back to all when it is empty; one is kept.
        while (count > 1 && chunks[count - 1].free == ~uint64_t{0}) {
            --count;
            journal.zone().chunk_owner(chunks[count].number)->store(0);
            first_free = first_free < count ? first_free : count - 1;
        }
        return true;
    }
    return false;
}

FlightRecord* Flights::reserve(const Journal& journal, bool is_known) {
    uint32_t all = journal.zone().sizes().flight_chunks;
    uint32_t common = all - all / 4;
    FlightRecord* record = common_.take(journal, 0, common);
    return record == nullptr && is_known ? for_known_.take(journal, common, all) : record;
}

void Flights::give_back(const Journal& journal, FlightRecord* record) {
    uint64_t index = static_cast<uint64_t>(record - journal.zone().flights(0));
    uint32_t number = static_cast<uint32_t>(index / kFlightsPerChunk);
    uint64_t bit = uint64_t{1} << (index % kFlightsPerChunk);
    if (!common_.give_back(journal, number, bit)) {
        for_known_.give_back(journal, number, bit);
    }
}

namespace {

Algorithm algorithm_of(const Zone& zone, const FlightRecord& record) {
    return zone.policy(static_cast<uint32_t>(record.policy))->slowest.algorithm;
}

void take_off_sharer(Journal* journal, Cell cell, const FlightRecord& record) {
    State state{};
    load_state(cell, kWide, &state);
    give_back_slots(record.amount, &state.sharer);
    store_state(journal, cell, kWide, state);
}

}  // namespace

void take_off(Journal* journal, Cell cell, FlightRecord* record) {
    const Algorithm algorithm = algorithm_of(journal->zone(), *record);
    // A number that has gone to a policy of another kind has taken the count with it.
    if (cell.index != kNoCell && algorithm == Algorithm::kSharerOfSlots) {
        take_off_sharer(journal, cell, *record);
    } else if (cell.index != kNoCell && has_flights(algorithm)) {
        State state{};
        load_state(cell, kSmall, &state);
        if (state.concurrency.used <= record->amount) {
            store_tag(journal, cell, 0);
        } else {
            state.concurrency.used -= record->amount;
            state.concurrency.spent = 0;
            state.concurrency.refused = 0;
            store_state(journal, cell, kSmall, state);
        }
    }
    journal->write(&record->tag, 0);
}

void end_flight(Journal* journal, FlightRecord* record) {
    const Algorithm algorithm = algorithm_of(journal->zone(), *record);
    BucketPair pair =
        bucket_pair_of(journal->zone(),
                       algorithm == Algorithm::kSharerOfSlots ? algorithm : Algorithm::kConcurrency,
                       record->tag, static_cast<uint32_t>(record->policy));
    LockOrder locks;
    pair.want(&locks, journal);
    locks.take_all();
    take_off(journal, pair.find(), record);
    journal->finish();
}

void reclaim_dead(Journal* journal, Now now) {
    for (uint32_t number = 1; number <= kMaxProcesses; ++number) {
        if (number == journal->number() || !journal->is_dead(number)) {
            continue;
        }
        if (journal->begin_repair(number)) {
            if (journal->is_dead(number)) {
                journal->undo(number);
                reclaim(journal, number, now);
                journal->retire(number);
            }
            journal->end_repair(number);
        }
    }
}

void reclaim_self(Journal* journal, Now now) {
    reclaim(journal, journal->number(), now);
    journal->retire(journal->number());
    journal->close();
}

}  // namespace ai_limit
