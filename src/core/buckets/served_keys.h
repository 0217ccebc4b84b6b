#pragma once

// Keys of which a request was served lately. When records of requests in flight become scarce, the
// last quarter is left to these (flights.h): a client that makes up keys, and lets their uploads
// idle, cannot take the records of all others. A fingerprint of each lies in a table that is as
// long as there are records; a newer key takes the place of an older one. Nothing is exact here, so
// it is written without locks.

#include "core/zone/table.h"

namespace ai_limit {

inline std::atomic<uint32_t>* served_place(const Zone& zone, uint64_t hash) {
    uint64_t places = uint64_t{zone.sizes().flight_chunks} * kFlightsPerChunk;
    return zone.served_key(bucket_index(hash, places));
}

/** The low bits, which do not choose the place. Never 0, which is an empty one. */
inline uint32_t fingerprint_of(uint64_t hash) {
    return static_cast<uint32_t>(hash) | 1;
}

/** Notes that a request of the key was served. `hash`: by hash_key(). */
inline void note_served(const Zone& zone, uint64_t hash) {
    if (zone.sizes().flight_chunks != 0) {
        served_place(zone, hash)->store(fingerprint_of(hash), std::memory_order_relaxed);
    }
}

inline bool was_served(const Zone& zone, uint64_t hash) {
    return zone.sizes().flight_chunks != 0 &&
           served_place(zone, hash)->load(std::memory_order_relaxed) == fingerprint_of(hash);
}

}  // namespace ai_limit
