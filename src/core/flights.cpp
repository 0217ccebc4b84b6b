#include "core/flights.h"

#include <initializer_list>

namespace ai_limit {

namespace {

void take_off(Journal* journal, Cell cell) {
    State state{};
    load_state(cell, kSmall, &state);
    if (state.concurrency.used <= 1) {
        store_tag(journal, cell, 0);
    } else {
        --state.concurrency.used;
        state.concurrency.spent = 0;
        state.concurrency.refused = 0;
        store_state(journal, cell, kSmall, state);
    }
}

void reclaim(Journal* journal, uint32_t gone) {
    const Zone& zone = journal->zone();
    for (uint32_t chunk = 0; chunk < zone.sizes().flight_chunks; ++chunk) {
        if (zone.chunk_owner(chunk)->load() != gone) {
            continue;
        }
        FlightRecord* records = zone.flights(chunk);
        for (uint32_t i = 0; i < kFlightsPerChunk; ++i) {
            if (records[i].tag != 0) {
                end_flight(journal, &records[i]);
            }
        }
        zone.chunk_owner(chunk)->store(0);
    }
}

}  // namespace

bool Flights::claim_chunk(const Journal& journal) {
    const Zone& zone = journal.zone();
    uint32_t chunks = zone.sizes().flight_chunks;
    for (uint32_t i = 0; count_ < kMaxChunks && i < chunks; ++i) {
        // Processes begin their search in different places.
        uint32_t number = (i + journal.number() * 64) % chunks;
        uint32_t nobody = 0;
        if (zone.chunk_owner(number)->compare_exchange_strong(nobody, journal.number())) {
            chunks_[count_++] = {number, ~uint64_t{0}};
            return true;
        }
    }
    return false;
}

FlightRecord* Flights::reserve(const Journal& journal) {
    while (first_free_ < count_ && chunks_[first_free_].free == 0) {
        ++first_free_;
    }
    if (first_free_ == count_ && !claim_chunk(journal)) {
        return nullptr;
    }
    Chunk* chunk = &chunks_[first_free_];
    uint32_t bit = static_cast<uint32_t>(__builtin_ctzll(chunk->free));
    chunk->free &= chunk->free - 1;
    return journal.zone().flights(chunk->number) + bit;
}

void Flights::give_back(const Journal& journal, FlightRecord* record) {
    uint64_t index = static_cast<uint64_t>(record - journal.zone().flights(0));
    uint32_t number = static_cast<uint32_t>(index / kFlightsPerChunk);
    for (uint32_t i = 0; i < count_; ++i) {
        if (chunks_[i].number != number) {
            continue;
        }
        chunks_[i].free |= uint64_t{1} << (index % kFlightsPerChunk);
        first_free_ = first_free_ < i ? first_free_ : i;
        // The last chunk goes back to all when it is empty; one is kept.
        while (count_ > 1 && chunks_[count_ - 1].free == ~uint64_t{0}) {
            --count_;
            journal.zone().chunk_owner(chunks_[count_].number)->store(0);
            first_free_ = first_free_ < count_ ? first_free_ : count_ - 1;
        }
        return;
    }
}

void end_flight(Journal* journal, FlightRecord* record) {
    const Zone& zone = journal->zone();
    Bucket* first = first_bucket(zone, kSmall, record->tag, static_cast<uint32_t>(record->policy));
    Bucket* second = second_bucket(zone, kSmall, record->tag);
    bool is_in_flight = zone.policy(static_cast<uint32_t>(record->policy))->slowest.algorithm ==
                        Algorithm::kConcurrency;
    // Both at once: the entry may be moved from one to the other at any time.
    journal->lock(first < second ? first : second);
    if (first != second) {
        journal->lock(first < second ? second : first);
    }
    for (Bucket* bucket : {first, second}) {
        uint32_t index = find_tag(bucket, kSmall, record->tag);
        // A number that has gone to a policy of another kind has taken the count with it.
        if (index != kNoCell && is_in_flight) {
            take_off(journal, {bucket, index});
            break;
        }
    }
    journal->write(&record->tag, 0);
    journal->finish();
}

void reclaim_dead(Journal* journal) {
    for (uint32_t number = 1; number <= kMaxProcesses; ++number) {
        if (number == journal->number() || !journal->is_dead(number)) {
            continue;
        }
        if (journal->begin_repair(number)) {
            if (journal->is_dead(number)) {
                journal->undo(number);
                reclaim(journal, number);
                journal->retire(number);
            }
            journal->end_repair(number);
        }
    }
}

void reclaim_self(Journal* journal) {
    reclaim(journal, journal->number());
    journal->retire(journal->number());
    journal->close();
}

}  // namespace ai_limit
