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

HabitWay* find_way(HabitSet* set, uint64_t mark) {
    for (HabitWay& way : set->ways) {
        if ((way.mark.load(std::memory_order_acquire) & ~kHourMask) == mark) {
            return &way;
        }
    }
    return nullptr;
}

/** Returns what the way knows of the hash. Nothing, if another process is replacing it. */
Habit habit_in(const HabitWay& way, uint64_t hash) {
    const uint64_t word = way.habit.load(std::memory_order_relaxed);
    return word >> kHabitBits == (hash & kCheckMask) ? habit_of(word) : Habit{};
}

Habit find_habit(const Zone& zone, uint64_t hash) {
    const uint64_t mark = mark_of(hash);
    HabitSet* set = set_of(zone, mark);
    const HabitWay* way = set != nullptr ? find_way(set, mark) : nullptr;
    return way != nullptr ? habit_in(*way, hash) : Habit{};
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

/** Returns the answers that had taught the habit before. */
uint32_t note_in_habit(const Zone& zone, uint64_t hash, const HabitSample& sample, uint64_t hour) {
    const uint64_t mark = mark_of(hash);
    HabitSet* set = set_of(zone, mark);
    if (set == nullptr) {
        return 0;
    }
    HabitWay* way = find_way(set, mark);
    Habit habit = way != nullptr ? habit_in(*way, hash) : Habit{};
    const uint32_t answers = habit.answers;
    learn(sample, &habit);
    const uint64_t word = word_of(habit) | check_of(hash);
    if (way == nullptr) {
        if (habit.answers != 0 || habit.ratio != 0) {
            replace(weakest_way(set, hour), mark | hour, word);
        }
        return answers;
    }
    way->habit.store(word, std::memory_order_relaxed);
    if ((way->mark.load(std::memory_order_relaxed) & kHourMask) != hour) {
        way->mark.store(mark | hour, std::memory_order_release);
    }
    return answers;
}

}  // namespace

__attribute__((flatten)) UsualUse find_usual_use(const Zone& zone, const HabitOwner& owner,
                                                 bool grows) {
    Habit habit = find_habit(zone, hash_of(owner));
    if (habit.answers == 0 || habit.ratio == 0) {
        const Habit of_model = find_habit(zone, hash_of({0, owner.model}));
        if (habit.answers == 0) {
            habit.answers = of_model.answers;
            habit.output = of_model.output;
        }
        habit.ratio = habit.ratio != 0 ? habit.ratio : of_model.ratio;
    }
    const bool knows = habit.answers != 0;
    return {knows, knows ? usual_output(habit) : 0, habit.ratio != 0 ? habit.ratio : kWholeRatio,
            knows && !grows ? spare_output(habit) : 0};
}

Expectation expected_use(const UsualUse& usual, Amount prompt, const AskedOutput& asked,
                         Amount most_output) {
    if (prompt == 0 && !asked.is_limited) {
        return {};
    }
    Amount output = usual.knows_output ? usual.output
                    : asked.is_limited ? asked.most
                                       : kUnknownOutput;
    if (asked.is_limited) {
        output = std::min(output, asked.most);
    }
    Expectation expected{prompt, corrected_prompt(prompt, usual.prompt_ratio),
                         std::min(output, most_output)};
    const Amount most = asked.is_limited ? std::min(asked.most, most_output) : most_output;
    expected.spare = std::min(usual.spare, most - expected.output);
    return expected;
}

__attribute__((flatten)) void note_use(const Zone& zone, const HabitOwner& owner,
                                       const HabitSample& sample, Millis wall) {
    if (!teaches(sample)) {
        return;
    }
    const uint64_t hour = hour_of(wall);
    const uint32_t answers = note_in_habit(zone, hash_of(owner), sample, hour);
    if (answers < kTeachesAll || wall % 16 == 0) {
        note_in_habit(zone, hash_of({0, owner.model}), sample, hour);
        note_in_habit(zone, hash_of({owner.key, 0}), sample, hour);
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
