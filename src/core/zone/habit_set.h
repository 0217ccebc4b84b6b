#pragma once

// The memory of what was learned about requests (core/learn/habits.h): words in sets of one cache
// line.

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ai_limit {

constexpr uint32_t kHabitWays = 4;

/** A place for one habit. A way of zeros is free. */
struct HabitWay {
    std::atomic<uint64_t> mark;   // the upper 52 bits of a hash, and the hour of the last answer
    std::atomic<uint64_t> habit;  // word_of() it, and the lower 8 bits of the hash on top
};

struct alignas(64) HabitSet {
    HabitWay ways[kHabitWays];
};
static_assert(sizeof(HabitSet) == 64);

/** An eighth of the bytes for entries, but room for 4,096 habits at least, and a million at most.
 */
constexpr uint32_t habit_sets_for(size_t bytes) {
    constexpr size_t kLeast = 1 << 10;
    constexpr size_t kMost = 1 << 18;
    const size_t sets = bytes / 8 / sizeof(HabitSet);
    return static_cast<uint32_t>(sets < kLeast ? kLeast : sets > kMost ? kMost : sets);
}

}  // namespace ai_limit
