#include "core/learn/habits.h"

#include <algorithm>

namespace ai_limit {

namespace {

constexpr uint64_t kHourMask = 0xfff;
constexpr uint64_t kCheckMask = 0xff;
constexpr Millis kHour = 3'600'000;

/** In each half a day without an answer, a habit becomes half as strong. */
constexpr uint64_t kFadingHours = 12;

/** So many answers teach the model and the key as well. Of the later ones one in 16 does, which
 * costs less and is enough. */
constexpr uint32_t kTeachesAll = 16;

uint64_t hash_of(const HabitOwner& owner) {
    constexpr unsigned kTurn = 29;  // tells keys from models
    const uint64_t model = owner.model << kTurn | owner.model >> (64 - kTurn);
    return (owner.key ^ model) * 0x9E3779B97F4A7C15;
}

uint64_t mark_of(uint64_t hash) {
    const uint64_t mark = hash & ~kHourMask;
    return mark != 0 ? mark : kHourMask + 1;
}

uint64_t check_of(uint64_t hash) {
    return (hash & kCheckMask) << kHabitBits;
}

uint64_t hour_of(Millis wall) {
    return static_cast<uint64_t>(wall / kHour) & kHourMask;
}

/** nullptr in a zone without room for habits. */
HabitSet* set_of(const Zone& zone, uint64_t mark) {
    __extension__ typedef unsigned __int128 Wide;
    const uint32_t sets = zone.sizes().habit_sets;
    return sets != 0 ? zone.habits(static_cast<uint32_t>(Wide{mark} * sets >> 64)) : nullptr;
}

bool has_mark(const HabitWay& way, uint64_t mark) {
    return (way.mark.load(std::memory_order_acquire) & ~kHourMask) == mark;
}

HabitWay* find_way(HabitSet* set, uint64_t mark) {
    for (HabitWay& way : set->ways) {
        if (has_mark(way, mark)) {
            return &way;
        }
    }
    return nullptr;
}

__attribute__((always_inline)) inline HabitWay* find_way(const Zone& zone, uint64_t mark) {
    HabitSet* set = set_of(zone, mark);
    return set != nullptr ? find_way(set, mark) : nullptr;
}

/** Returns the word of what the way knows of the hash: 0, if another process is replacing it. */
inline uint64_t word_in(const HabitWay& way, uint64_t hash) {
    const uint64_t word = way.habit.load(std::memory_order_relaxed);
    return word >> kHabitBits == (hash & kCheckMask) ? word : 0;
}

Habit find_habit(const Zone& zone, uint64_t hash) {
    const HabitWay* way = find_way(zone, mark_of(hash));
    return habit_of(way != nullptr ? word_in(*way, hash) : 0);
}

/** The strength of a way, and behind it its youth. A clock that was set back makes it young. */
uint64_t rank_of(uint64_t mark, uint64_t word, uint64_t hour) {
    if (mark == 0) {
        return 0;
    }
    uint64_t age = (hour - mark) & kHourMask;
    age = age > kHourMask / 2 ? 0 : age;
    const uint64_t strength =
        uint64_t{habit_of(word).answers} >> std::min<uint64_t>(age / kFadingHours, 63);
    return 1 + (strength << 12 | (kHourMask - age));
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
    HabitSet* set = set_of(zone, mark & ~kHourMask);
    if (set == nullptr) {
        return;
    }
    HabitWay* place = weakest_way(set, hour);
    if (rank_of(*place, hour) <= rank_of(mark, word, hour)) {
        replace(place, mark, word);
    }
}

/** Teaches the habit in a way. Returns the answers that had taught it before. */
__attribute__((always_inline)) inline uint32_t teach(HabitWay* way, uint64_t hash,
                                                     const HabitSample& sample, uint64_t hour) {
    Habit habit = habit_of(word_in(*way, hash));
    const uint32_t answers = habit.answers;
    learn(sample, &habit);
    way->habit.store(word_of(habit) | check_of(hash), std::memory_order_relaxed);
    const uint64_t mark = way->mark.load(std::memory_order_relaxed);
    if ((mark & kHourMask) != hour) {
        way->mark.store(mark_of(hash) | hour, std::memory_order_release);
    }
    return answers;
}

/** Makes a habit of its first answer. */
void note_first(const Zone& zone, uint64_t hash, const HabitSample& sample, uint64_t hour) {
    Habit habit{};
    learn(sample, &habit);
    HabitSet* set = set_of(zone, mark_of(hash));
    if (set != nullptr && (habit.answers != 0 || habit.ratio != 0)) {
        replace(weakest_way(set, hour), mark_of(hash) | hour, word_of(habit) | check_of(hash));
    }
}

void note_in_habit(const Zone& zone, uint64_t hash, const HabitSample& sample, uint64_t hour) {
    HabitWay* way = find_way(zone, mark_of(hash));
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

__attribute__((noinline)) HabitWay* search_way(const Zone& zone, uint64_t mark) {
    return find_way(zone, mark);
}

UsualUse use_of(const Habit& habit, bool grows) {
    const bool knows = habit.answers != 0;
    return {knows, knows ? usual_output(habit) : 0, habit.ratio != 0 ? habit.ratio : kWholeRatio,
            knows && !grows ? spare_output(habit) : 0};
}

/** The habit of a key and a model knows too little. */
__attribute__((noinline)) UsualUse find_by_model(const Zone& zone, uint64_t word, uint64_t model,
                                                 bool grows) {
    Habit habit = habit_of(word);
    const Habit of_model = find_habit(zone, hash_of({0, model}));
    if (habit.answers == 0) {
        habit.answers = of_model.answers;
        habit.output = of_model.output;
    }
    habit.ratio = habit.ratio != 0 ? habit.ratio : of_model.ratio;
    return use_of(habit, grows);
}

}  // namespace

UsualUse find_usual_use(const Zone& zone, const HabitOwner& owner, bool grows, HabitPlace* place) {
    const uint64_t hash = hash_of(owner);
    HabitWay* way = find_way(zone, mark_of(hash));
    place->way = way;
    const uint64_t word = way != nullptr ? word_in(*way, hash) : 0;
    const Habit habit = habit_of(word);
    if (habit.answers == 0 || habit.ratio == 0) {
        return find_by_model(zone, word, owner.model, grows);
    }
    return {true, usual_output(habit), habit.ratio, grows ? 0 : spare_output(habit)};
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
    if (way == nullptr || !has_mark(*way, mark_of(hash))) {
        way = search_way(zone, mark_of(hash));
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
                hour = std::max(hour, mark & kHourMask);
                keep(to, mark, way.habit.load(std::memory_order_relaxed), hour);
            }
        }
    }
}

}  // namespace ai_limit
