#pragma once

// Finds the entry of a key. A key has two candidate buckets. Its entry goes into the first one with
// room, so one bucket answers most questions. The second is looked at only if the first has
// overflowed. The first buckets of one key's policies are neighbours: they are in one page and
// share no cache line.

#include "core/zone/journal.h"

namespace ai_limit {

constexpr uint32_t kNoCell = UINT32_MAX;

/** A cell of a locked bucket; index kNoCell for none. */
struct Cell {
    Bucket* bucket;
    uint32_t index;
};

inline const Geometry& geometry_of(Algorithm algorithm) {
    return is_wide(algorithm) ? kWide : kSmall;
}

/** The bits of a tag that tell apart the entries of one key for different periods. */
constexpr unsigned kVariantShift = 8;
constexpr uint64_t kVariantMask = uint64_t{3} << kVariantShift;
static_assert(kMaxVariants <= 4);

constexpr uint64_t tag_bits(uint32_t variant) {
    return uint64_t{variant} << kVariantShift;
}

/** A hash as tag_of() wants it: neither a policy's number nor a variant turns it into 0, which is
 * an empty cell's tag. */
constexpr uint64_t tag_base(uint64_t hash) {
    return (hash & ~kVariantMask) >> 8 != 0 ? hash : ~hash;
}

/** The tag of a key's entry for a policy. `hash` is hash_key()'s, the same for all policies. */
inline uint64_t tag_of(uint64_t hash, uint32_t policy) {
    return hash ^ policy;
}

/** `tag` / 2^64 of the way through the buckets. */
inline uint64_t bucket_index(uint64_t tag, uint64_t buckets) {
    __extension__ typedef unsigned __int128 Wide;
    return static_cast<uint64_t>(Wide{tag} * buckets >> 64);
}

/** The same by the tag's low bits, which bucket_index() does not depend on. */
inline uint64_t spread_index(uint64_t tag, uint64_t places) {
    return bucket_index(tag * 0x9E3779B97F4A7C15, places);
}

/** Returns the one of a set's `ways` that has the tag; nullptr if none has. */
template <typename Set>
auto find_way(Set* set, uint64_t tag) -> decltype(&set->ways[0]) {
    for (auto& way : set->ways) {
        if (way.tag.load(std::memory_order_acquire) == tag) {
            return &way;
        }
    }
    return nullptr;
}

/**
 * Return the bucket that an entry belongs into, and the one that it goes into if the first has no
 * room. They are the same for all entries that differ in their variant.
 */
inline Bucket* first_bucket(const Zone& zone, const Geometry& geometry, uint64_t tag,
                            uint32_t policy) {
    return zone.bucket(geometry, bucket_index(tag, zone.buckets(geometry)) ^ (policy & 7));
}
inline Bucket* second_bucket(const Zone& zone, const Geometry& geometry, uint64_t tag) {
    return zone.bucket(geometry, spread_index(tag & ~kVariantMask, zone.buckets(geometry)));
}

/**
 * Prefetches only the part of a bucket that shows if the rest is needed. It is always inline: the
 * compiler would leave out a call that does nothing else.
 */
inline __attribute__((always_inline)) void prefetch_tags(const Bucket* bucket) {
    __builtin_prefetch(bucket, 1);
}
inline __attribute__((always_inline)) void prefetch(const Bucket* bucket) {
    prefetch_tags(bucket);
    __builtin_prefetch(reinterpret_cast<const char*>(bucket) + 64, 1);
}

inline uint32_t find_tag(const Bucket* bucket, const Geometry& geometry, uint64_t tag) {
    for (uint32_t cell = 0; cell < geometry.cells; ++cell) {
        if (bucket->tags[cell] == tag) {
            return cell;
        }
    }
    return kNoCell;
}

/** XXH3 of the key with the zone's secret; never below 256. */
uint64_t hash_key(const Zone& zone, std::string_view key);

/** Reads an entry's state. The part of `state` that a small state does not use is left alone. */
inline void load_state(Cell cell, const Geometry& geometry, State* state) {
    const uint64_t* words = state_words(cell.bucket, geometry, cell.index);
    for (uint32_t i = 0; i < geometry.state_words; ++i) {
        state->words[i] = words[i];
    }
}

/** Writes the state of an entry whose tag is there. */
inline void store_state(Journal* journal, Cell cell, const Geometry& geometry, const State& state) {
    journal->write(state_words(cell.bucket, geometry, cell.index), state.words,
                   geometry.state_words);
}

/** The cell's mark, that operators have been warned of its key. It is not taken back if the process
 * that sets it is killed: it decides nothing. */
inline bool has_mark(Cell cell) {
    return (cell.bucket->warned >> cell.index & 1) != 0;
}
inline void set_mark(Cell cell, bool is_marked) {
    const unsigned bit = 1U << cell.index;
    const unsigned others = cell.bucket->warned & ~bit;
    cell.bucket->warned = static_cast<uint16_t>(is_marked ? others | bit : others);
}

/** Writes or empties a cell's tag, without its mark; 0 empties it. Keeps the number of entries. */
inline void store_tag(Journal* journal, Cell cell, uint64_t tag) {
    uint64_t* place = &cell.bucket->tags[cell.index];
    if ((*place == 0) != (tag == 0)) {
        uint64_t* tally = journal->zone().tally(journal->number());
        journal->write(tally, tag != 0 ? *tally + 1 : *tally - 1);
    }
    set_mark(cell, false);
    journal->write(place, tag);
}

}  // namespace ai_limit
