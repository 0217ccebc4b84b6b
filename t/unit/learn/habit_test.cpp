#include "core/learn/habit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "random.h"

namespace ai_limit {
namespace {

HabitSample output_of(Amount output) {
    return {output, true, false, 0, 0};
}

HabitSample cut_after(Amount output) {
    return {output, true, true, 0, 0};
}

HabitSample input_of(Amount prompt, Amount input) {
    return {0, false, false, prompt, input};
}

/** Outputs whose logarithms are normally distributed, as those of chats and agents are. */
class Outputs {
public:
    Outputs(double median, double sigma, uint64_t seed = 1)
        : random_(seed), outputs_(std::log(median), sigma) {}

    Amount draw() { return static_cast<Amount>(std::lround(outputs_(random_))); }

private:
    std::mt19937_64 random_;
    std::lognormal_distribution<double> outputs_;
};

void learn_many(Outputs outputs, int n, Habit* habit) {
    for (int i = 0; i < n; ++i) {
        learn(output_of(outputs.draw()), habit);
    }
}

TEST(Habit, KnowsNothingAtFirst) {
    const Habit habit = habit_of(0);
    EXPECT_EQ(habit.answers, 0U);
    EXPECT_EQ(habit.ratio, 0U);
}

TEST(Habit, ExpectsFourTimesTheOnlyAnswer) {
    Habit habit{};
    learn(output_of(300), &habit);
    EXPECT_EQ(usual_output(habit), 1200U);
}

TEST(Habit, ExpectsLessAboveTheLargestWithEachAnswer) {
    Habit habit{};
    Amount before = 0;
    for (int i = 1; i <= 10; ++i) {
        learn(output_of(300), &habit);
        const Amount usual = usual_output(habit);
        EXPECT_TRUE(before == 0 || usual <= before);
        EXPECT_TRUE(i != 3 || usual == 600U);
        before = usual;
    }
    EXPECT_EQ(before, 375U);
}

TEST(Habit, HasOutputToSpareUpToTwiceThePercentile) {
    Habit habit{};
    learn(output_of(300), &habit);
    EXPECT_EQ(spare_output(habit), 0U);
    learn_many(Outputs(300, 0.5), 200, &habit);
    EXPECT_NEAR(static_cast<double>(usual_output(habit) + spare_output(habit)),
                habit.output / 128.0, 1);
}

TEST(Habit, ExpectsNothingOfModelsThatWriteNothing) {
    Habit habit{};
    learn(output_of(0), &habit);
    EXPECT_EQ(habit.answers, 1U);
    EXPECT_EQ(usual_output(habit), 0U);
}

// The 95th percentile of a lognormal distribution is exp(1.645 sigma) times its median.
TEST(Habit, FindsTheNinetyFifthPercentile) {
    for (const double sigma : {0.3, 0.5, 1.0, 1.5}) {
        Outputs outputs(300, sigma);
        Habit habit{};
        int above = 0;
        double sum = 0;
        constexpr int kAnswers = 20'000;
        for (int i = 0; i < kAnswers; ++i) {
            const Amount output = outputs.draw();
            above += habit.answers >= 10 && output > usual_output(habit) ? 1 : 0;
            learn(output_of(output), &habit);
            sum += habit.output / 256.0;
        }
        const double percentile = 300 * std::exp(1.645 * sigma);
        EXPECT_NEAR(sum / kAnswers, percentile, 0.25 * percentile) << sigma;
        EXPECT_LT(above, kAnswers * 0.06) << sigma;
        EXPECT_GT(above, kAnswers * 0.04) << sigma;
    }
}

/** Learns as the module does: from all answers above the estimate, and once the habit is steady,
 * from some of those below it. Returns how many taught it. */
int learn_some(Outputs outputs, int n, Random* random, Habit* habit) {
    int taught = 0;
    for (int i = 0; i < n; ++i) {
        HabitSample sample = output_of(outputs.draw());
        Habit steady{};
        const bool is_below = read_steady_habit(word_of(*habit), &steady) &&
                              sample.output * learning::kTokenOutput < steady.output;
        if (is_below && !random->one_in(kStandsFor)) {
            continue;
        }
        sample.stands_for = is_below ? kStandsFor : 1;
        learn(sample, habit);
        ++taught;
    }
    return taught;
}

Habit with_known_ratio() {
    Habit habit{};
    habit.ratio = kWholeRatio;
    return habit;
}

TEST(Habit, FindsThePercentileBySomeOfTheAnswersBelowIt) {
    for (const double sigma : {0.3, 0.5, 1.0, 1.5}) {
        Outputs outputs(300, sigma);
        Random random(1);
        Habit habit = with_known_ratio();
        int taught = 0;
        int above = 0;
        double sum = 0;
        constexpr int kAnswers = 20'000;
        for (int i = 0; i < kAnswers; ++i) {
            const Amount next = Outputs(outputs).draw();
            above += habit.answers >= 10 && next > usual_output(habit) ? 1 : 0;
            taught += learn_some(outputs, 1, &random, &habit);
            outputs.draw();
            sum += habit.output / 256.0;
        }
        const double percentile = 300 * std::exp(1.645 * sigma);
        EXPECT_NEAR(sum / kAnswers, percentile, 0.25 * percentile) << sigma;
        EXPECT_LT(above, kAnswers * 0.06) << sigma;
        EXPECT_GT(above, kAnswers * 0.04) << sigma;
        EXPECT_LT(taught, kAnswers * 0.35) << sigma;
    }
}

TEST(Habit, FollowsAsSoonBySomeOfTheAnswersBelowIt) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        Random random(seed);
        Habit habit = with_known_ratio();
        learn_some(Outputs(3000, 0.5, seed), 500, &random, &habit);
        learn_some(Outputs(300, 0.5, seed), 110, &random, &habit);
        EXPECT_LT(usual_output(habit), 1500U) << seed;
        learn_some(Outputs(3000, 0.5, seed), 30, &random, &habit);
        EXPECT_GT(usual_output(habit), 3000U) << seed;
    }
}

TEST(Habit, AnAnswerThatStandsForOthersLowersItAsFarAsThey) {
    Habit each = with_known_ratio();
    learn_many(Outputs(3000, 0.1), 20, &each);
    Habit one = each;
    HabitSample sample = output_of(10);
    learn_many(Outputs(10, 0), static_cast<int>(kStandsFor), &each);
    sample.stands_for = kStandsFor;
    learn(sample, &one);
    EXPECT_NEAR(one.output, each.output, each.output * 0.001);
    EXPECT_EQ(one.run, each.run);
    EXPECT_EQ(one.answers, each.answers);
}

TEST(Habit, FollowsWhenAnswersGrow) {
    Habit habit{};
    learn_many(Outputs(300, 0.5), 500, &habit);
    learn_many(Outputs(3000, 0.5), 30, &habit);
    EXPECT_GT(usual_output(habit), 4000U);
    EXPECT_LT(usual_output(habit), 12'000U);
}

TEST(Habit, FollowsWhenAnswersShrink) {
    Habit habit{};
    learn_many(Outputs(3000, 0.5), 500, &habit);
    learn_many(Outputs(300, 0.5), 110, &habit);
    EXPECT_LT(usual_output(habit), 1500U);
    EXPECT_GT(usual_output(habit), 400U);
}

TEST(Habit, OneHugeAnswerDoesNotStay) {
    Habit habit{};
    learn(output_of(30'000), &habit);
    learn_many(Outputs(300, 0.5), 140, &habit);
    EXPECT_LT(usual_output(habit), 1500U);
}

TEST(Habit, LearnsNothingSmallFromAnswersThatWereCut) {
    Habit habit{};
    learn(cut_after(10), &habit);
    EXPECT_EQ(habit.answers, 0U);
    for (const int answers : {1, 40}) {
        learn_many(Outputs(300, 0.1), answers, &habit);
        const Amount before = usual_output(habit);
        for (int i = 0; i < 1000; ++i) {
            learn(cut_after(10), &habit);
        }
        EXPECT_EQ(usual_output(habit), before);
        learn(cut_after(5000), &habit);
        EXPECT_GT(usual_output(habit), before);
    }
}

TEST(Habit, CorrectsThePromptByWhatIsReported) {
    Habit habit{};
    for (int i = 0; i < 40; ++i) {
        learn(input_of(2000, 3000), &habit);
    }
    EXPECT_NEAR(static_cast<double>(corrected_prompt(1000, habit.ratio)), 1500, 15);
    for (int i = 0; i < 40; ++i) {
        learn(input_of(2000, 1000), &habit);
    }
    EXPECT_NEAR(static_cast<double>(corrected_prompt(1000, habit.ratio)), 500, 15);
}

TEST(Habit, ShortPromptsCorrectLittle) {
    Habit habit{};
    for (int i = 0; i < 40; ++i) {
        learn(input_of(2000, 2000), &habit);
    }
    for (int i = 0; i < 10; ++i) {
        learn(input_of(4, 400), &habit);
    }
    EXPECT_LT(corrected_prompt(1000, habit.ratio), 1050U);
}

TEST(Habit, CorrectsByAFactorOfFourAtMost) {
    Habit much{};
    Habit little{};
    for (int i = 0; i < 1000; ++i) {
        learn(input_of(2000, kMaxAmount), &much);
        learn(input_of(2000, 0), &little);
    }
    EXPECT_LE(corrected_prompt(1000, much.ratio), 4000U);
    EXPECT_GT(corrected_prompt(1000, much.ratio), 3900U);
    EXPECT_GE(corrected_prompt(1000, little.ratio), 250U);
    EXPECT_LT(corrected_prompt(1000, little.ratio), 270U);
    EXPECT_EQ(corrected_prompt(kMaxAmount, much.ratio), kMaxAmount);
}

TEST(Habit, IsTheSameAfterItWasAWord) {
    Random random(1);
    Habit habit{};
    for (int i = 0; i < 100'000; ++i) {
        const Amount prompt = random.one_in(2) ? random.scaled(kMaxAmount) : 0;
        learn({random.scaled(kMaxAmount), !random.one_in(4), random.one_in(4), prompt,
               random.scaled(kMaxAmount)},
              &habit);
        const uint64_t word = word_of(habit);
        ASSERT_EQ(word >> kHabitBits, 0U);
        const Habit again = habit_of(word);
        ASSERT_EQ(again.output, habit.output);
        ASSERT_EQ(again.ratio, habit.ratio);
        ASSERT_EQ(again.answers, habit.answers);
        ASSERT_EQ(again.run, habit.run);
    }
}

TEST(Habit, StaysWithinItsBoundsWhateverTheWord) {
    Random random(2);
    for (int i = 0; i < 100'000; ++i) {
        Habit habit = habit_of(random.scaled(UINT64_MAX) << random.below(8));
        for (int k = 0; k < 20; ++k) {
            ASSERT_LE(usual_output(habit), 4 * kMostUsualOutput + 4);
            ASSERT_TRUE(habit.ratio == 0 || habit.ratio >= kLeastRatio);
            ASSERT_LE(habit.ratio, kMostRatio);
            learn({random.scaled(kMaxAmount), !random.one_in(4), random.one_in(4),
                   random.scaled(kMaxAmount), random.scaled(kMaxAmount)},
                  &habit);
        }
    }
}

TEST(Habit, IsTheSameForWhoReadsSteadyOnesOnly) {
    Random random(4);
    int steady = 0;
    for (int i = 0; i < 100'000; ++i) {
        const uint64_t word = random.scaled(UINT64_MAX) >> random.below(16);
        const Habit habit = habit_of(word);
        Habit read{};
        const bool in_bounds = (word >> 30 & 0x1fff) == habit.ratio;
        const bool is_steady = word >> kHabitBits == 0 && in_bounds && habit.ratio != 0 &&
                               habit.answers >= learning::kFewAnswers &&
                               habit.run < learning::kSteadyRun;
        ASSERT_EQ(read_steady_habit(word, &read), is_steady);
        if (is_steady) {
            ++steady;
            ASSERT_EQ(word_of(read), word_of(habit));
        }
    }
    EXPECT_GT(steady, 100);
}

TEST(Habit, NeverExpectsMoreThanFourTimesTheLargestAnswer) {
    Random random(3);
    for (int i = 0; i < 2000; ++i) {
        Habit habit{};
        Amount largest = 0;
        for (int k = 0; k < 100; ++k) {
            const Amount output = random.scaled(100'000);
            const bool is_cut = random.one_in(8);
            largest = std::max(largest, output);
            learn(is_cut ? cut_after(output) : output_of(output), &habit);
            ASSERT_LE(habit.answers == 0 ? 0 : usual_output(habit), 4 * largest);
        }
    }
}

}  // namespace
}  // namespace ai_limit
