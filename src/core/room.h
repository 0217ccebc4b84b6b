#pragma once

#include "core/displacement.h"
#include "core/eviction.h"

namespace ai_limit {

/**
 * A cell for a new entry in one of its two locked buckets: a free one or that of an entry which has
 * come back completely, else one whose entry can move to its other bucket, else one whose entry is
 * forgotten. An entry that is spent or refuses is forgotten only where `evicts`. Cells for which
 * `pinned` says so stay. Index kNoCell where there is none.
 */
template <typename Pinned>
Cell find_room(Journal* journal, const Geometry& geometry, Bucket* first, Bucket* second, Now now,
               bool evicts, const Pinned& pinned) {
    Victim victim = choose_victim(journal->zone(), geometry, first, second, now, pinned);
    if (victim.worth >= Worth::kLive) {
        Cell cell = move_one_away(journal, geometry, first, second, pinned);
        if (cell.index != kNoCell) {
            return cell;
        }
    }
    bool refuses = victim.worth == Worth::kRefused || victim.worth == Worth::kSpent;
    return refuses && !evicts ? Cell{nullptr, kNoCell} : victim.cell;
}

}  // namespace ai_limit
