#pragma once

// How a habit is found in its zone. In a header, since each request searches once, and the calls
// would cost as much as this.

#include <cstdint>

#include "core/learn/habit.h"
#include "core/zone/zone.h"

namespace ai_limit {

/** The requests that a habit is about. Each hash is by hash_key(), of the policy's key or of the
 * model; 0 stands for all keys, or all models. */
struct HabitOwner {
    uint64_t key;
    uint64_t model;
};

constexpr uint64_t kHabitHourMask = 0xfff;
constexpr uint64_t kHabitCheckMask = 0xff;

inline uint64_t hash_of(const HabitOwner& owner) {
    constexpr unsigned kTurn = 29;  // tells keys from models
    const uint64_t model = owner.model << kTurn | owner.model >> (64 - kTurn);
    return (owner.key ^ model) * 0x9E3779B97F4A7C15;
}

/** Returns the bits of a hash by which a HabitWay knows its habit: not those of the hour. */
inline uint64_t habit_mark(uint64_t hash) {
    const uint64_t mark = hash & ~kHabitHourMask;
    return mark != 0 ? mark : kHabitHourMask + 1;
}

/** Returns the bits of a hash in the word of its habit. */
inline uint64_t habit_check(uint64_t hash) {
    return (hash & kHabitCheckMask) << kHabitBits;
}

/** Returns the set of a hash or of its mark, in a zone with room for habits. The bits of the hour
 * are the lowest, and decide nothing. */
inline HabitSet* habit_set(const Zone& zone, uint64_t hash) {
    __extension__ typedef unsigned __int128 Wide;
    return zone.habits(static_cast<uint32_t>(Wide{hash} * zone.sizes().habit_sets >> 64));
}

/** True if the way has the mark of the hash. */
inline bool has_mark_of(const HabitWay& way, uint64_t hash) {
    return (way.mark.load(std::memory_order_acquire) ^ hash) <= kHabitHourMask;
}

/** Returns the way that has the mark of the hash, or nullptr. Mostly it is the first of its set. */
__attribute__((always_inline)) inline HabitWay* find_habit_way(const Zone& zone, uint64_t hash) {
    if (zone.sizes().habit_sets == 0) {
        return nullptr;
    }
    HabitSet* const set = habit_set(zone, hash);
    if (has_mark_of(set->ways[0], hash)) {
        return &set->ways[0];
    }
    for (uint32_t i = 1; i < kHabitWays; ++i) {
        if (has_mark_of(set->ways[i], hash)) {
            return &set->ways[i];
        }
    }
    return nullptr;
}

/** Returns the word of what the way knows of the hash: 0, if another process is replacing it. */
inline uint64_t habit_word(const HabitWay& way, uint64_t hash) {
    const uint64_t word = way.habit.load(std::memory_order_relaxed);
    return word >> kHabitBits == (hash & kHabitCheckMask) ? word : 0;
}

}  // namespace ai_limit
