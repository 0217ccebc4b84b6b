#include "core/learn/habits.h"

#include <algorithm>

namespace ai_limit {

namespace {

constexpr Millis kHour = 3'600'000;

/** In each half a day without an answer, a habit becomes half as strong. */
constexpr uint64_t kFadingHours = 12;

/** So many answers teach the model and the key as well. Of the later ones one in 16 does, which
 * costs less and is enough. */
constexpr uint32_t kTeachesAll = 16;

uint64_t hour_of(Millis wall) {
    return static_cast<uint64_t>(wall / kHour) & kHabitHourMask;
}

Habit find_habit(const Zone& zone, uint64_t hash) {
    const HabitWay* way = find_habit_way(zone, hash);
    return habit_of(way != nullptr ? habit_word(*way, hash) : 0);
}

/** The strength of a way, and behind it its youth. A clock that was set back makes it young. */
uint64_t rank_of(uint64_t mark, uint64_t word, uint64_t hour) {
    if (mark == 0) {
        return 0;
    }
    uint64_t age = (hour - mark) & kHabitHourMask;
    age = age > kHabitHourMask / 2 ? 0 : age;
    const uint64_t strength =
        uint64_t{habit_of(word).answers} >> std::min<uint64_t>(age / kFadingHours, 63);
    return 1 + (strength << 12 | (kHabitHourMask - age));
}

uint64_t rank_of(const HabitWay& way, uint64_t hour) {
    return rank_of(way.mark.load(std::memory_order_relaxed),
                   way.habit.load(std::memory_order_relaxed), hour);
}

HabitWay* weakest_way(HabitSet* set, uint64_t hour) {
    return std::min_element(set->ways, set->ways + kHabitWays,
                            [hour](const HabitWay& one, const HabitWay& other) {
                                return rank_of(one, hour) < rank_of(other, hour);
                            });
}

/** A process that is killed here leaves a free way. */
void replace(HabitWay* way, uint64_t mark, uint64_t word) {
    way->mark.store(0, std::memory_order_release);
    way->habit.store(word, std::memory_order_release);
    way->mark.store(mark, std::memory_order_release);
}

/** Puts a habit into its set, unless all others there are stronger. */
void keep(const Zone& zone, uint64_t mark, uint64_t word, uint64_t hour) {
    if (zone.sizes().habit_sets == 0) {
        return;
    }
    HabitWay* place = weakest_way(habit_set(zone, mark & ~kHabitHourMask), hour);
    if (rank_of(*place, hour) <= rank_of(mark, word, hour)) {
        replace(place, mark, word);
    }
}

/** Teaches the habit in a way. Returns the answers that had taught it before. */
__attribute__((always_inline)) inline uint32_t teach(HabitWay* way, uint64_t hash,
                                                     const HabitSample& sample, uint64_t hour) {
    Habit habit = habit_of(habit_word(*way, hash));
    const uint32_t answers = habit.answers;
    learn(sample, &habit);
    way->habit.store(word_of(habit) | habit_check(hash), std::memory_order_relaxed);
    const uint64_t mark = way->mark.load(std::memory_order_relaxed);
    if ((mark & kHabitHourMask) != hour) {
        way->mark.store(habit_mark(hash) | hour, std::memory_order_release);
    }
    return answers;
}

/** Makes a habit of its first answer. */
void note_first(const Zone& zone, uint64_t hash, const HabitSample& sample, uint64_t hour) {
    Habit habit{};
    learn(sample, &habit);
    if (zone.sizes().habit_sets != 0 && (habit.answers != 0 || habit.ratio != 0)) {
        replace(weakest_way(habit_set(zone, hash), hour), habit_mark(hash) | hour,
                word_of(habit) | habit_check(hash));
    }
}

void note_in_habit(const Zone& zone, uint64_t hash, const HabitSample& sample, uint64_t hour) {
    HabitWay* way = find_habit_way(zone, hash);
    if (way != nullptr) {
        teach(way, hash, sample, hour);
    } else {
        note_first(zone, hash, sample, hour);
    }
}

/** Teaches the model and the key. Apart, since mostly it is not called. */
__attribute__((noinline)) void note_in_both(const Zone& zone, const HabitOwner& owner,
                                            const HabitSample& sample, uint64_t hour) {
    note_in_habit(zone, hash_of({0, owner.model}), sample, hour);
    note_in_habit(zone, hash_of({owner.key, 0}), sample, hour);
}

/** The same for an owner without a habit, and for its own. */
__attribute__((noinline)) void note_in_all(const Zone& zone, const HabitOwner& owner,
                                           const HabitSample& sample, uint64_t hour) {
    note_first(zone, hash_of(owner), sample, hour);
    note_in_both(zone, owner, sample, hour);
}

__attribute__((noinline)) HabitWay* search_way(const Zone& zone, uint64_t hash) {
    return find_habit_way(zone, hash);
}

UsualUse use_of(const Habit& habit, bool grows) {
    const bool knows = habit.answers != 0;
    return {knows, knows ? usual_output(habit) : 0, habit.ratio != 0 ? habit.ratio : kWholeRatio,
            knows && !grows ? spare_output(habit) : 0};
}

}  // namespace

UsualUse find_unsteady_use(const Zone& zone, const HabitOwner& owner, bool grows,
                           const HabitWay* way) {
    Habit habit = habit_of(way != nullptr ? habit_word(*way, hash_of(owner)) : 0);
    if (habit.answers == 0 || habit.ratio == 0) {
        const Habit of_model = find_habit(zone, hash_of({0, owner.model}));
        if (habit.answers == 0) {
            habit.answers = of_model.answers;
            habit.output = of_model.output;
        }
        habit.ratio = habit.ratio != 0 ? habit.ratio : of_model.ratio;
    }
    return use_of(habit, grows);
}

__attribute__((flatten)) void note_use(const Zone& zone, const HabitOwner& owner,
                                       const HabitSample& sample, const HabitPlace& place,
                                       Millis wall) {
    if (!teaches(sample)) {
        return;
    }
    const uint64_t hash = hash_of(owner);
    const uint64_t hour = hour_of(wall);
    HabitWay* way = place.way;
    if (way == nullptr || !has_mark_of(*way, hash)) {
        way = search_way(zone, hash);
    }
    if (way == nullptr) {
        note_in_all(zone, owner, sample, hour);
        return;
    }
    if (teach(way, hash, sample, hour) < kTeachesAll || wall % 16 == 0) {
        note_in_both(zone, owner, sample, hour);
    }
}

bool read_habit(const Zone& zone, const HabitOwner& owner, Habit* habit) {
    *habit = find_habit(zone, hash_of(owner));
    return habit->answers != 0 || habit->ratio != 0;
}

void keep_habit(const Zone& zone, uint64_t mark, uint64_t word, Millis wall) {
    keep(zone, mark, word, hour_of(wall));
}

void copy_habits(const Zone& from, const Zone& to) {
    uint64_t hour = 0;
    for (uint32_t i = 0; i < from.sizes().habit_sets; ++i) {
        for (const HabitWay& way : from.habits(i)->ways) {
            const uint64_t mark = way.mark.load(std::memory_order_acquire);
            if (mark != 0) {
                hour = std::max(hour, mark & kHabitHourMask);
                keep(to, mark, way.habit.load(std::memory_order_relaxed), hour);
            }
        }
    }
}

}  // namespace ai_limit
