#pragma once

// Counts the outcomes and the durations of the commands that all workers have sent to Redis.

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ai_limit {

/** Upper bounds in microseconds, of the histogram's buckets but the last, which has none. */
inline constexpr uint32_t kTrafficBounds[] = {100,    250,    500,    1'000,   2'500,  5'000,
                                              10'000, 25'000, 50'000, 100'000, 250'000};
constexpr size_t kTrafficBuckets = sizeof(kTrafficBounds) / sizeof(kTrafficBounds[0]) + 1;

struct RemoteTraffic {
    std::atomic<uint64_t> answered, refused, lost;  // by an error; without any answer
    std::atomic<uint64_t> micros;                   // of all that were answered
    std::atomic<uint64_t> buckets[kTrafficBuckets];
};

/** Counts an answer that came after so many microseconds. */
inline void count_answer(RemoteTraffic* traffic, bool is_error, uint64_t micros) {
    size_t bucket = 0;
    while (bucket < kTrafficBuckets - 1 && micros > kTrafficBounds[bucket]) {
        ++bucket;
    }
    traffic->buckets[bucket].fetch_add(1, std::memory_order_relaxed);
    traffic->micros.fetch_add(micros, std::memory_order_relaxed);
    (is_error ? traffic->refused : traffic->answered).fetch_add(1, std::memory_order_relaxed);
}

}  // namespace ai_limit
