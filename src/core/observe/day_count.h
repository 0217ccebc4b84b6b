#pragma once

// Counts of a calendar day. A counter goes on for ever. Beside it lies what it had when the day
// began, in one word with the number of that day. Whoever counts first on another day replaces the
// word. A day therefore begins at once for all processes, no lock is needed, and every amount
// belongs to exactly one day, however a process dies.

#include <atomic>

#include "core/words/types.h"

namespace ai_limit {

/** The number of a day since 1970 in its lowest 16 bits; they last until 2149. */
using DayNumber = uint16_t;

/** The count of a day is exact below this: 281 million dollars, or 281,000 billion tokens. */
constexpr unsigned kDayShift = 48;
constexpr uint64_t kDayCountMask = (uint64_t{1} << kDayShift) - 1;

/** Returns the day at a time of the wall clock. `time_zone`: milliseconds east of UTC. */
constexpr DayNumber day_of(Millis wall, Millis time_zone) {
    return static_cast<DayNumber>(static_cast<uint64_t>(wall + time_zone) /
                                  static_cast<uint64_t>(kDayMillis));
}

/** True for a day's own word, and for one of the next day: a clock that is a moment late does not
 * bring back a day that is over. */
constexpr bool has_begun(uint64_t start, DayNumber day) {
    const auto behind = static_cast<DayNumber>(day - (start >> kDayShift));
    return behind == 0 || behind == DayNumber{0xffff};
}

/** Begins the day if it has not begun. Comes before the count of what belongs to it. */
inline void begin_day(std::atomic<uint64_t>* start, const std::atomic<uint64_t>& total,
                      DayNumber day) {
    uint64_t before = start->load(std::memory_order_acquire);
    if (!has_begun(before, day)) {
        const uint64_t counted = total.load(std::memory_order_relaxed) & kDayCountMask;
        start->compare_exchange_strong(before, uint64_t{day} << kDayShift | counted,
                                       std::memory_order_acq_rel);
    }
}

/** Returns what was counted on the day. */
inline uint64_t count_of_day(const std::atomic<uint64_t>& start, const std::atomic<uint64_t>& total,
                             DayNumber day) {
    const uint64_t word = start.load(std::memory_order_acquire);
    const uint64_t counted = total.load(std::memory_order_relaxed);
    const uint64_t of_day = (counted - word) & kDayCountMask;
    // A copy of both that was taken while the day began may not agree.
    return has_begun(word, day) && of_day <= counted ? of_day : 0;
}

}  // namespace ai_limit
