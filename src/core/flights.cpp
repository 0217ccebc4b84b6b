#include "core/flights.h"

#include "core/algorithm.h"
#include "core/home.h"
#include "core/settlement.h"

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
            if (records[i].tag != 0 && records[i].used_policy != 0) {
                settle_as_held(journal, &records[i], now);
            } else if (records[i].tag != 0) {
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

void take_off(Journal* journal, Cell cell, FlightRecord* record) {
    const Zone& zone = journal->zone();
    // A number that has gone to a policy of another kind has taken the count with it.
    if (cell.index != kNoCell &&
        has_flights(zone.policy(static_cast<uint32_t>(record->policy))->slowest.algorithm)) {
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
    Home home = home_of(journal->zone(), Algorithm::kConcurrency, record->tag,
                        static_cast<uint32_t>(record->policy));
    LockOrder locks;
    home.want(&locks, journal);
    locks.take_all();
    take_off(journal, home.find(), record);
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
