#include "core/learn/habit_sample.h"

#include <gtest/gtest.h>

namespace ai_limit {
namespace {

constexpr AskedOutput kUnlimited = {false, 0};

AnswerFacts finished(Amount input, Amount output) {
    AnswerFacts facts;
    facts.reported.has_input = facts.reported.has_output = true;
    facts.reported.counts.input = input;
    facts.reported.counts.output = output;
    facts.finished = facts.reports_all_output = true;
    facts.prompt = 100;
    return facts;
}

HabitSample sample_of(const AnswerFacts& facts, const AskedOutput& asked = kUnlimited) {
    return habit_sample(facts, answer_cost(facts), asked);
}

TEST(HabitSample, HasWhatTheAnswerReports) {
    const HabitSample sample = sample_of(finished(150, 300));
    EXPECT_TRUE(sample.has_output);
    EXPECT_FALSE(sample.is_least_output);
    EXPECT_EQ(sample.output, 300U);
    EXPECT_EQ(sample.prompt, 100U);
    EXPECT_EQ(sample.input, 150U);
}

TEST(HabitSample, OfACutAnswerIsTheLeast) {
    AnswerFacts facts = finished(150, 0);
    facts.reported.has_output = false;
    facts.finished = facts.reports_all_output = false;
    facts.text = 400;
    const HabitSample sample = sample_of(facts);
    EXPECT_TRUE(sample.is_least_output);
    EXPECT_EQ(sample.output, 100U);
    EXPECT_EQ(sample.input, 150U);
}

TEST(HabitSample, OfAnAnswerThatReachedItsLimitIsTheLeast) {
    EXPECT_TRUE(sample_of(finished(150, 300), {true, 300}).is_least_output);
    EXPECT_FALSE(sample_of(finished(150, 300), {true, 301}).is_least_output);
}

TEST(HabitSample, KnowsNoInputThatWasEstimated) {
    AnswerFacts facts = finished(0, 300);
    const HabitSample sample = sample_of(facts);
    EXPECT_TRUE(sample.has_output);
    EXPECT_EQ(sample.prompt, 0U);
}

TEST(HabitSample, KnowsThatEmbeddingsHaveNoOutput) {
    const HabitSample sample = sample_of(finished(150, 0));
    EXPECT_TRUE(sample.has_output);
    EXPECT_FALSE(sample.is_least_output);
    EXPECT_EQ(sample.output, 0U);
}

TEST(HabitSample, IsEmptyIfNothingWasUsed) {
    EXPECT_FALSE(teaches(sample_of(finished(0, 0))));
}

TEST(HabitSample, IsEmptyForAListOfModels) {
    AnswerFacts facts;
    facts.finished = true;
    facts.text = 400;
    EXPECT_FALSE(teaches(sample_of(facts)));
}

TEST(HabitSample, IsEmptyIfOnlyATotalIsKnown) {
    AnswerFacts facts = finished(500, 0);
    facts.reported.is_total = true;
    EXPECT_FALSE(teaches(sample_of(facts)));
}

}  // namespace
}  // namespace ai_limit
