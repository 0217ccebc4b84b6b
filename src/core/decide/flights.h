#pragma once

// Requests in flight: each process records, in chunks of the zone that are its own, which entries
// count its requests, so that the counts can be taken back when the process dies.

#include "core/zone/table.h"

namespace ai_limit {

/** The records of one process. Private memory of the process, zero before the first use. */
class Flights {
public:
    /**
     * A free record for one request, nullptr if the zone has no more. It is taken once a tag is
     * written into it through the journal. The last quarter of the zone's records is for keys that
     * are known (served_keys.h).
     */
    FlightRecord* reserve(const Journal& journal, bool is_known);

    /** Gives back a record that reserve() gave and whose tag is 0 (again). */
    void give_back(const Journal& journal, FlightRecord* record);

private:
    struct Chunk {
        uint32_t number;
        uint64_t free;  // one bit for each record
    };

    /** Chunks from one part of the zone. */
    template <uint32_t kMost>
    struct Part {
        Chunk chunks[kMost];
        uint32_t count;
        uint32_t first_free;  // no chunk before this one has a free record

        /** `from` to before `to`: the zone's chunks that belong to the part. */
        FlightRecord* take(const Journal& journal, uint32_t from, uint32_t to);
        bool claim(const Journal& journal, uint32_t from, uint32_t to);
        bool give_back(const Journal& journal, uint32_t number, uint64_t bit);
    };

    // A million requests in flight in one process.
    Part<12288> common_;
    Part<4096> for_known_;
};

/** Ends one request in flight: removes it from its entry's count and frees the record. */
void end_flight(Journal* journal, FlightRecord* record);

/**
 * Ends a request in flight whose entry's buckets are locked and whose entry was looked up. The cell
 * is kNoCell if there is none.
 */
void take_off(Journal* journal, Cell cell, FlightRecord* record);

/**
 * Repairs the work of each dead process, ends its requests in flight, and frees its slot. The
 * tokens that these requests had reserved are charged. Must not be called with a lock taken.
 */
void reclaim_dead(Journal* journal, Now now);

/**
 * Does for this process, at its end, what reclaim_dead() does for dead ones. The journal is closed
 * after it.
 */
void reclaim_self(Journal* journal, Now now);

}  // namespace ai_limit
