#pragma once

#include "core/zone/table.h"

namespace ai_limit {

/** The cost of forgetting an entry, from nothing to never. */
enum class Worth : uint8_t { kNothing, kLive, kSpent, kRefused, kInFlight };

/** A cell for a new entry, and the worth of the entry that it has. */
struct Victim {
    Cell cell;
    Worth worth;
};

/**
 * Chooses the cell among two buckets, both locked, whose loss matters least. First comes a free
 * one, then one that is full again and has no information. Then come the live one that will be full
 * again soonest, one that is spent, and one that refuses. Requests in flight are never given up.
 * Cells for which `pinned` returns true belong to the same decision and stay. The index is kNoCell
 * if there is none.
 */
template <typename Pinned>
Victim choose_victim(const Zone& zone, const Geometry& geometry, Bucket* first, Bucket* second,
                     Now now, const Pinned& pinned);

/** The worth of an entry, and an order among those of the same worth: the least goes first. */
struct Appraisal {
    Worth worth;
    uint64_t order;
};

Appraisal appraise(const Zone& zone, const Geometry& geometry, Cell cell, Now now);

/** Appraises an entry's state, wherever it lies. */
Appraisal appraise_state(const Zone& zone, State state, Now now);

template <typename Pinned>
Victim choose_victim(const Zone& zone, const Geometry& geometry, Bucket* first, Bucket* second,
                     Now now, const Pinned& pinned) {
    Victim best = {{nullptr, kNoCell}, Worth::kInFlight};
    uint64_t best_order = 0;
    Bucket* buckets[] = {first, second};
    for (Bucket* bucket : buckets) {
        for (uint32_t i = 0; i < geometry.cells; ++i) {
            Cell cell = {bucket, i};
            if (pinned(cell)) {
                continue;
            }
            Appraisal found = appraise(zone, geometry, cell, now);
            // Among equals, the last one goes, which came last: the older ones stay while new ones
            // come and go.
            if (found.worth < best.worth ||
                (found.worth == best.worth && found.worth != Worth::kInFlight &&
                 (found.order < best_order ||
                  (found.order == best_order && found.worth != Worth::kNothing)))) {
                best = {cell, found.worth};
                best_order = found.order;
            }
        }
    }
    return best;
}

}  // namespace ai_limit
