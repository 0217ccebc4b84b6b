#pragma once

// Where a key's entry lies. A key has two candidate buckets. Its entry goes into the first where there
// is room, so that one bucket answers most questions; only where the first has overflowed must the
// second be asked. The first buckets of one key's policies are neighbours: one page, no shared line.

#include "core/journal.h"

namespace ai_limit {

constexpr uint32_t kNoCell = UINT32_MAX;

/** An entry's two candidate buckets, equal where the zone is tiny, and its tag, never 0. */
struct Place {
    const Geometry* geometry;
    uint64_t tag;
    Bucket* first;
    Bucket* second;
};

/** A cell of a locked bucket; index kNoCell for none. */
struct Cell {
    Bucket* bucket;
    uint32_t index;
};

inline const Geometry& geometry_of(Algorithm algorithm) {
    return algorithm == Algorithm::kSlidingWindow ? kWide : kSmall;
}

/** The tag of a key's entry for a policy. `hash` is the key's, by the zone's secret, the same for all policies. */
inline uint64_t tag_of(uint64_t hash, uint32_t policy) {
    uint64_t tag = hash ^ policy;
    return tag != 0 ? tag : ~uint64_t{0};
}

/** Takes no lock and touches no bucket. */
inline Place place_of(const Zone& zone, const Geometry& geometry, uint64_t tag, uint32_t policy) {
    __extension__ typedef unsigned __int128 Wide;
    uint64_t buckets = zone.buckets(geometry);
    uint64_t first = static_cast<uint64_t>(Wide{tag} * buckets >> 64);
    // An odd factor spreads the tag's low bits, which the first bucket does not depend on.
    uint64_t second = static_cast<uint64_t>(Wide{tag * 0x9E3779B97F4A7C15} * buckets >> 64);
    return {&geometry, tag, zone.bucket(geometry, first ^ (policy & 7)),
            zone.bucket(geometry, second)};
}

inline void prefetch(const Place& place) {
    __builtin_prefetch(place.first, 1);
    __builtin_prefetch(reinterpret_cast<char*>(place.first) + 64, 1);
}

inline uint32_t find_tag(const Bucket* bucket, const Geometry& geometry, uint64_t tag) {
    for (uint32_t cell = 0; cell < geometry.cells; ++cell) {
        if (bucket->tags[cell] == tag) {
            return cell;
        }
    }
    return kNoCell;
}

/** XXH3 of the key with the zone's secret. */
uint64_t hash_key(const Zone& zone, std::string_view key);

/** Reads an entry's state; what a small state does not use of `state` is left alone. */
inline void load_state(Cell cell, const Geometry& geometry, State* state) {
    const uint64_t* words = state_words(cell.bucket, geometry, cell.index);
    state->words[0] = words[0];
    state->words[1] = words[1];
    for (uint32_t i = 2; i < geometry.state_words; ++i) {
        state->words[i] = words[i];
    }
}

/** Writes an entry: its tag where the cell was another's or free, and its state. */
void store_entry(Journal* journal, Cell cell, const Geometry& geometry, uint64_t tag,
                 const State& state);

/** Empties a cell. */
void erase_entry(Journal* journal, Cell cell);

}  // namespace ai_limit
