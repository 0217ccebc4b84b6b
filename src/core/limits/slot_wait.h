#pragma once

// Estimates how long a request without a free slot should wait. Nobody knows when a request in
// flight will end, but the durations of earlier ones are known.

#include <atomic>

#include "core/words/types.h"

namespace ai_limit {

/** Shorter waits are not worth a retry. */
constexpr Millis kShortestSlotWait = 1'000;

/** Widely used SDKs give up if a refusal names a minute or more. */
constexpr Millis kLongestSlotWait = 59'999;

/**
 * How long a policy's requests used their slots: a moving average in 16ths of a millisecond, in
 * which each request weighs an eighth. 0: none has ended yet. Processes write it without a lock; if
 * two do at once, one of their requests does not count.
 */
using SlotDuration = std::atomic<uint64_t>;

/** Adds a request that has occupied its slot for so long to the average. */
inline void learn_slot_duration(SlotDuration* average, Millis used_for) {
    constexpr unsigned kFraction = 4;
    constexpr unsigned kWeight = 3;
    constexpr Millis kDay = 86'400'000;
    const auto length = static_cast<uint64_t>(used_for < 1      ? 1
                                              : used_for > kDay ? kDay
                                                                : used_for)
                        << kFraction;
    const uint64_t old = average->load(std::memory_order_relaxed);
    average->store(old == 0 ? length : old - (old >> kWeight) + (length >> kWeight),
                   std::memory_order_relaxed);
}

/**
 * Milliseconds until a slot is likely to come back, when `used` requests share `slots`, and `used`
 * is at least `slots` and not 0: the average over the number of requests, and up to a quarter more
 * by the `chance`, so that clients that were refused together do not come back together.
 * kShortestSlotWait where nothing has been learned.
 */
Millis likely_slot_wait(const SlotDuration& average, Amount used, Amount slots, uint32_t chance);

}  // namespace ai_limit
