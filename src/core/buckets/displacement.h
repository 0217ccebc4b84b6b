#pragma once

#include "core/zone/table.h"

namespace ai_limit {

/**
 * Makes room in one of two locked buckets, both full, by moving an entry into its other bucket, one
 * step as in cuckoo hashing (Pagh and Rodler, 2004): so the table can be three quarters full before
 * the first entry must be forgotten. Other buckets are only tried, never waited for: their
 * addresses may be lower than those of locks that are taken. They are opened when the journal is
 * finished. Cells for which `pinned` says so stay. Returns the cell that is free now, or index
 * kNoCell.
 */
template <typename Pinned>
Cell move_one_away(Journal* journal, const Geometry& geometry, Bucket* first, Bucket* second,
                   const Pinned& pinned);

/** Moves the entry in the cell to its other bucket if that has room and can be locked. */
bool move_away(Journal* journal, const Geometry& geometry, Cell cell);

template <typename Pinned>
Cell move_one_away(Journal* journal, const Geometry& geometry, Bucket* first, Bucket* second,
                   const Pinned& pinned) {
    Bucket* buckets[] = {first, second};
    for (Bucket* bucket : buckets) {
        for (uint32_t i = 0; i < geometry.cells; ++i) {
            Cell cell = {bucket, i};
            if (!pinned(cell) && move_away(journal, geometry, cell)) {
                return cell;
            }
        }
    }
    return {nullptr, kNoCell};
}

}  // namespace ai_limit
