#pragma once

#include "core/buckets/displacement.h"
#include "core/buckets/eviction.h"

namespace ai_limit {

/** Counts an entry that is forgotten for another. */
inline void count_eviction(const Zone& zone, const Victim& victim) {
    if (victim.cell.index == kNoCell || victim.cell.bucket->tags[victim.cell.index] == 0) {
        return;
    }
    ZoneHeader* header = zone.header();
    (victim.worth == Worth::kNothing ? header->idle_evictions : header->live_evictions)
        .fetch_add(1, std::memory_order_relaxed);
}

/**
 * A cell for a new entry in one of its two locked buckets: a free one or that of an entry which has
 * come back completely, else one whose entry can move to its other bucket, else one whose entry is
 * forgotten. An entry that is spent or refuses is forgotten only where `evicts`. Cells for which
 * `pinned` says so stay. Index kNoCell where there is none.
 */
template <typename Pinned>
Cell find_free_cell(Journal* journal, const Geometry& geometry, Bucket* first, Bucket* second,
                    Now now, bool evicts, const Pinned& pinned) {
    Victim victim = choose_victim(journal->zone(), geometry, first, second, now, pinned);
    if (victim.worth >= Worth::kLive) {
        Cell cell = move_one_away(journal, geometry, first, second, pinned);
        if (cell.index != kNoCell) {
            return cell;
        }
    }
    bool refuses = victim.worth == Worth::kRefused || victim.worth == Worth::kSpent;
    if (refuses && !evicts) {
        return {nullptr, kNoCell};
    }
    count_eviction(journal->zone(), victim);
    return victim.cell;
}

}  // namespace ai_limit
