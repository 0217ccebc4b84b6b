#include "core/learn/habits.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/zone/table.h"
#include "random.h"
#include "small_zone.h"

namespace ai_limit {
namespace {

HabitOwner owner_of(const Zone& zone, const std::string& key, const std::string& model) {
    return {hash_key(zone, key), hash_key(zone, model)};
}

void note_output(const Zone& zone, const HabitOwner& owner, Amount output, int times = 1,
                 Millis wall = kStart) {
    for (int i = 0; i < times; ++i) {
        note_use(zone, owner, {output, true, false, 1000, 1000}, wall);
    }
}

TEST(Habits, KnowNothingAtFirst) {
    ZoneMemory memory(small_sizes());
    const UsualUse use =
        find_usual_use(memory.zone(), owner_of(memory.zone(), "key", "model"), true);
    EXPECT_FALSE(use.knows_output);
    EXPECT_EQ(use.prompt_ratio, kWholeRatio);
}

TEST(Habits, AreThoseOfTheKeyAndTheModel) {
    ZoneMemory memory(small_sizes());
    const Zone& zone = memory.zone();
    note_output(zone, owner_of(zone, "one", "a"), 100, 10);
    note_output(zone, owner_of(zone, "one", "b"), 1000, 10);
    note_output(zone, owner_of(zone, "two", "a"), 5000, 10);
    EXPECT_EQ(find_usual_use(zone, owner_of(zone, "one", "a"), true).output, 125U);
    EXPECT_EQ(find_usual_use(zone, owner_of(zone, "one", "b"), true).output, 1250U);
    EXPECT_EQ(find_usual_use(zone, owner_of(zone, "two", "a"), true).output, 6250U);
}

TEST(Habits, AreThoseOfTheModelForANewKey) {
    ZoneMemory memory(small_sizes());
    const Zone& zone = memory.zone();
    note_output(zone, owner_of(zone, "one", "a"), 100, 10);
    const UsualUse use = find_usual_use(zone, owner_of(zone, "new", "a"), true);
    EXPECT_TRUE(use.knows_output);
    EXPECT_EQ(use.output, 125U);
    EXPECT_FALSE(find_usual_use(zone, owner_of(zone, "new", "b"), true).knows_output);
    EXPECT_FALSE(find_usual_use(zone, owner_of(zone, "one", "b"), true).knows_output);
}

TEST(Habits, AKeyOfTheNameOfAModelIsNotThatModel) {
    ZoneMemory memory(small_sizes());
    const Zone& zone = memory.zone();
    note_output(zone, owner_of(zone, "same", "same"), 100, 10);
    Habit habit{};
    EXPECT_TRUE(read_habit(zone, {hash_key(zone, "same"), 0}, &habit));
    EXPECT_TRUE(read_habit(zone, {0, hash_key(zone, "same")}, &habit));
    EXPECT_FALSE(read_habit(zone, owner_of(zone, "same", ""), &habit));
    EXPECT_FALSE(read_habit(zone, owner_of(zone, "", "same"), &habit));
}

TEST(Habits, CorrectThePromptOfANewKeyByTheModel) {
    ZoneMemory memory(small_sizes());
    const Zone& zone = memory.zone();
    for (int i = 0; i < 20; ++i) {
        note_use(zone, owner_of(zone, "one", "a"), {0, false, false, 2000, 4000}, kStart);
    }
    const UsualUse use = find_usual_use(zone, owner_of(zone, "new", "a"), true);
    EXPECT_FALSE(use.knows_output);
    EXPECT_NEAR(use.prompt_ratio, 2 * kWholeRatio, 10);
}

TEST(Habits, AnswersOfManyKeysTeachTheModel) {
    ZoneMemory memory(small_sizes());
    const Zone& zone = memory.zone();
    for (int i = 0; i < 100; ++i) {
        note_output(zone, owner_of(zone, std::to_string(i), "a"), 400);
    }
    const Amount usual = find_usual_use(zone, owner_of(zone, "new", "a"), true).output;
    EXPECT_GT(usual, 390U);
    EXPECT_LT(usual, 560U);
}

Expectation expect(bool knows, Amount usual, const AskedOutput& asked,
                   Amount most_output = kMaxAmount, Amount prompt = 100) {
    return expected_use({knows, usual, kWholeRatio}, prompt, asked, most_output);
}

TEST(ExpectedUse, IsWhatWasLearned) {
    EXPECT_EQ(expect(true, 300, {true, 32'000}).output, 300U);
    EXPECT_EQ(expect(true, 3000, {false, 0}).output, 3000U);
}

TEST(ExpectedUse, IsNeverMoreThanTheRequestAsksFor) {
    EXPECT_EQ(expect(true, 300, {true, 200}).output, 200U);
    EXPECT_EQ(expect(true, 300, {true, 200}, 100).output, 100U);
    EXPECT_EQ(expect(false, 0, {true, 200}, 100).output, 100U);
}

TEST(ExpectedUse, IsWhatTheRequestAsksForAtFirst) {
    EXPECT_EQ(expect(false, 0, {true, 32'000}).output, 32'000U);
    EXPECT_EQ(expect(false, 0, {false, 0}).output, 1000U);
}

TEST(ExpectedUse, IsNothingForARequestWithoutAPrompt) {
    EXPECT_EQ(expect(false, 0, {false, 0}, kMaxAmount, 0).output, 0U);
    EXPECT_EQ(expect(true, 300, {false, 0}, kMaxAmount, 0).output, 0U);
    EXPECT_EQ(expect(true, 300, {true, 500}, kMaxAmount, 0).output, 300U);
}

TEST(Habits, HaveOutputToSpareForAnswersWhoseReservationDoesNotGrow) {
    ZoneMemory memory(small_sizes());
    const Zone& zone = memory.zone();
    const HabitOwner owner = owner_of(zone, "one", "a");
    note_output(zone, owner, 100, 10);
    EXPECT_EQ(find_usual_use(zone, owner, false).output, 125U);
    EXPECT_EQ(find_usual_use(zone, owner, false).spare, 75U);
    EXPECT_EQ(find_usual_use(zone, owner, true).spare, 0U);
    EXPECT_EQ(find_usual_use(zone, owner_of(zone, "one", "b"), false).spare, 0U);
}

Amount spare(const AskedOutput& asked, Amount most_output = kMaxAmount) {
    return expected_use({true, 300, kWholeRatio, 200}, 100, asked, most_output).spare;
}

TEST(ExpectedUse, HasNoMoreToSpareThanTheRequestAsksFor) {
    EXPECT_EQ(spare({false, 0}), 200U);
    EXPECT_EQ(spare({true, 32'000}), 200U);
    EXPECT_EQ(spare({true, 400}), 100U);
    EXPECT_EQ(spare({true, 200}), 0U);
    EXPECT_EQ(spare({true, 400}, 350), 50U);
    EXPECT_EQ(spare({false, 0}, 100), 0U);
}

TEST(ExpectedUse, HasTheCorrectedPrompt) {
    const Expectation expected =
        expected_use({true, 300, 2 * kWholeRatio}, 100, {false, 0}, kMaxAmount);
    EXPECT_EQ(expected.prompt, 100U);
    EXPECT_EQ(expected.input, 200U);
}

TEST(Habits, InventedKeysAndModelsDisplaceFewThatAreWellKnown) {
    ZoneMemory memory(small_sizes());
    const Zone& zone = memory.zone();
    constexpr int kKnown = 500;
    for (int i = 0; i < kKnown; ++i) {
        note_output(zone, owner_of(zone, "known " + std::to_string(i), "a"), 100, 10);
    }
    for (int i = 0; i < 100'000; ++i) {
        note_output(zone, owner_of(zone, "made up", std::to_string(i)), 1);
        note_output(zone, owner_of(zone, std::to_string(i), "made up"), 1);
    }
    int kept = 0;
    for (int i = 0; i < kKnown; ++i) {
        Habit habit{};
        kept += read_habit(zone, owner_of(zone, "known " + std::to_string(i), "a"), &habit);
    }
    EXPECT_GE(kept, kKnown * 95 / 100);  // a few share a set with too many others
    EXPECT_TRUE(find_usual_use(zone, owner_of(zone, "new", "a"), true).knows_output);
}

TEST(Habits, LearnTheSameAtTheirPlaceAsByASearch) {
    ZoneMemory searching(small_sizes());
    ZoneMemory placed(small_sizes());
    Random random(3);
    for (int i = 0; i < 2000; ++i) {
        const std::string key = std::to_string(random.below(20));
        const HabitSample sample = {random.scaled(5000), true, random.one_in(9), 1000, 1300};
        note_use(searching.zone(), owner_of(searching.zone(), key, "a"), sample, kStart);
        const HabitOwner owner = owner_of(placed.zone(), key, "a");
        HabitPlace place{};
        find_usual_use(placed.zone(), owner, true, &place);
        note_use(placed.zone(), owner, sample, place, kStart);
        EXPECT_EQ(
            find_usual_use(placed.zone(), owner, true).output,
            find_usual_use(searching.zone(), owner_of(searching.zone(), key, "a"), true).output);
    }
}

/** Returns how many of `n` answers with this output teach. Between them, a process has as many
 * others as `others` says. */
int teaching_of(const HabitPlace& place, Amount output, int n, int others = 0) {
    TeachingTurns turns;
    int teaching = 0;
    for (int i = 0; i < n; ++i) {
        teaching += stands_for({output, true, false, 0, 0}, place, &turns) != 0;
        for (int k = 0; k < others; ++k) {
            turns.next();
        }
    }
    return teaching;
}

TEST(Habits, LearnFromAllAnswersUntilTheyAreSteady) {
    ZoneMemory memory(small_sizes());
    const Zone& zone = memory.zone();
    const HabitOwner owner = owner_of(zone, "one", "a");
    for (int i = 0; i < 10; ++i) {
        HabitPlace place{};
        find_usual_use(zone, owner, true, &place);
        EXPECT_EQ(teaching_of(place, 1, 100), 100) << i;
        note_output(zone, owner, 100);
    }
    // A long run of small answers: the estimate is too high.
    note_output(zone, owner, 1, 60);
    HabitPlace place{};
    find_usual_use(zone, owner, true, &place);
    EXPECT_EQ(teaching_of(place, 1, 100), 100);
}

TEST(Habits, LearnFromSomeAnswersBelowASteadyEstimateAndFromAllOthers) {
    ZoneMemory memory(small_sizes());
    const Zone& zone = memory.zone();
    const HabitOwner owner = owner_of(zone, "one", "a");
    note_output(zone, owner, 100, 10);
    HabitPlace place{};
    find_usual_use(zone, owner, true, &place);
    EXPECT_EQ(teaching_of(place, 100, 1000), 1000);
    EXPECT_EQ(teaching_of(place, kMaxAmount, 1000), 1000);
    constexpr int kExpected = 10'000 / static_cast<int>(kStandsFor);
    for (const int others : {0, 1, 2, 3, 4, 5, 7, 9, 15, 99, 127, 999}) {
        EXPECT_NEAR(teaching_of(place, 99, 10'000, others), kExpected, kExpected / 10) << others;
    }
}

TEST(Habits, LearnFromAllAnswersThatAreAboveOneOfTheirEstimates) {
    ZoneMemory memory(small_sizes());
    const Zone& zone = memory.zone();
    note_output(zone, owner_of(zone, "low", "a"), 100, 10);
    note_output(zone, owner_of(zone, "high", "a"), 1000, 10);
    HabitPlace place{};
    find_usual_use(zone, owner_of(zone, "low", "a"), true, &place);
    find_usual_use(zone, owner_of(zone, "high", "a"), true, &place);
    EXPECT_EQ(teaching_of(place, 500, 1000), 1000);
    EXPECT_LT(teaching_of(place, 50, 1000), 500);
    find_usual_use(zone, owner_of(zone, "new", "a"), true, &place);
    EXPECT_EQ(teaching_of(place, 50, 1000), 1000);
}

TEST(Habits, LeaveAPlaceAloneThatHasBecomeAnothers) {
    ZoneSizes sizes{8, 0, 2};
    sizes.habit_sets = 1;
    ZoneMemory memory(sizes);
    const Zone& zone = memory.zone();
    const HabitOwner owner = owner_of(zone, "one", "a");
    note_output(zone, owner, 100);
    HabitPlace place{};
    find_usual_use(zone, owner, true, &place);
    ASSERT_NE(place.way, nullptr);
    const HabitOwner other = owner_of(zone, "two", "b");
    for (int i = 0; i < 4; ++i) {
        note_output(zone, {other.key, other.model + static_cast<uint64_t>(i) * 8}, 1000, 20);
    }
    const uint64_t habit = place.way->habit;
    ASSERT_NE(place.way->mark, 0U);
    Habit lost{};
    ASSERT_FALSE(read_habit(zone, owner, &lost));
    note_use(zone, owner, {5, true, false, 0, 0}, place, kStart);
    Habit found{};
    EXPECT_TRUE(place.way->habit == habit ||
                (read_habit(zone, owner, &found) && found.answers == 1));
}

TEST(Habits, MakeRoomWhenTheyAreForgotten) {
    ZoneMemory memory(small_sizes());
    const Zone& zone = memory.zone();
    for (int i = 0; i < 50'000; ++i) {
        note_output(zone, owner_of(zone, "old " + std::to_string(i), "a"), 100, 10);
    }
    const Millis later = kStart + 24 * 6 * kHour;
    int kept = 0;
    for (int i = 0; i < 500; ++i) {
        note_output(zone, owner_of(zone, "new " + std::to_string(i), "b"), 7, 2, later);
    }
    for (int i = 0; i < 500; ++i) {
        Habit habit{};
        kept += read_habit(zone, owner_of(zone, "new " + std::to_string(i), "b"), &habit);
    }
    EXPECT_GE(kept, 490);  // a few share a set with too many others
}

TEST(Habits, AreKeptInAZoneOfAnotherSize) {
    ZoneMemory from(small_sizes());
    ZoneMemory larger(sizes_for(16 << 20, true, true));
    ZoneMemory smaller(small_sizes());
    constexpr int kKnown = 300;
    for (int i = 0; i < kKnown; ++i) {
        note_output(from.zone(), owner_of(from.zone(), std::to_string(i), "a"), 100, 10);
    }
    copy_habits(from.zone(), larger.zone());
    copy_habits(larger.zone(), smaller.zone());
    for (const Zone& zone : {larger.zone(), smaller.zone()}) {
        for (int i = 0; i < kKnown; ++i) {
            Habit habit{};
            EXPECT_TRUE(read_habit(zone, owner_of(zone, std::to_string(i), "a"), &habit)) << i;
            EXPECT_EQ(usual_output(habit), 125U);
        }
    }
}

TEST(Habits, OfAZoneWithoutRoomAreUnknown) {
    ZoneMemory memory({8, 8, 2});
    const Zone& zone = memory.zone();
    note_output(zone, owner_of(zone, "key", "a"), 100, 10);
    EXPECT_FALSE(find_usual_use(zone, owner_of(zone, "key", "a"), true).knows_output);
}

// Whatever interleaving: nobody sees the habit of another key, nor a number out of its bounds.
TEST(Habits, WorkersLearnAtTheSameTime) {
    ZoneSizes sizes{8, 0, 2};
    sizes.habit_sets = 8;  // all workers replace the same few
    const auto memory = ZoneMemory::shared(sizes);
    const Zone& zone = memory->zone();
    constexpr int kWorkers = 4;
    std::vector<int> wrong(kWorkers);
    std::vector<std::thread> workers;
    for (int worker = 0; worker < kWorkers; ++worker) {
        workers.emplace_back([&zone, &wrong, worker] {
            Random random(static_cast<uint64_t>(worker));
            for (int i = 0; i < 50'000; ++i) {
                const uint64_t n = random.below(200);
                const HabitOwner owner = owner_of(zone, std::to_string(n), std::to_string(n));
                note_output(zone, owner, n, 1, kStart + i);
                const UsualUse use = find_usual_use(zone, owner, true);
                wrong[static_cast<size_t>(worker)] += use.knows_output && use.output > 4 * n;
            }
        });
    }
    for (std::thread& worker : workers) {
        worker.join();
    }
    // A torn pair of words is believed once in 256 times that it occurs.
    for (const int count : wrong) {
        EXPECT_LE(count, 10);
    }
}

}  // namespace
}  // namespace ai_limit
