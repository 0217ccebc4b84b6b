#pragma once

// Requests in flight: each process records, in chunks of the zone that are its own, which entries
// count its requests, so that the counts can be taken back when the process dies.

#include "core/table.h"

namespace ai_limit {

/** The records of one process. Private memory of the process, zero before the first use. */
class Flights {
public:
    /**
     * A free record for one request, nullptr where the zone has no more. It is taken once a tag is
     * written into it through the journal.
     */
    FlightRecord* reserve(const Journal& journal);

    /** Gives back a record that reserve() gave and whose tag is 0 (again). */
    void give_back(const Journal& journal, FlightRecord* record);

private:
    bool claim_chunk(const Journal& journal);

    static constexpr uint32_t kMaxChunks = 16384;  // a million requests in flight in one process

    struct Chunk {
        uint32_t number;
        uint64_t free;  // one bit for each record
    };
    Chunk chunks_[kMaxChunks];
    uint32_t count_;
    uint32_t first_free_;  // no chunk before this one has a free record
};

/** Ends one request in flight: takes it off its entry's count and frees the record. */
void end_flight(Journal* journal, FlightRecord* record);

/** The same where the entry's buckets are locked and it was found; the cell is kNoCell where not.
 */
void take_off(Journal* journal, Cell cell, FlightRecord* record);

/**
 * Repairs, and takes back everything in flight of, each process that is dead; frees their slots.
 * The tokens that it held are charged. Must not be called with a lock taken.
 */
void reclaim_dead(Journal* journal, Now now);

/** The same for this process itself, at its end. The journal is closed after it. */
void reclaim_self(Journal* journal, Now now);

}  // namespace ai_limit
