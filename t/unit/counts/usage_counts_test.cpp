#include "core/counts/usage_counts.h"

#include <gtest/gtest.h>

#include <initializer_list>

namespace ai_limit {
namespace {

using Field = UsageField;
using Source = UsageSource;

struct Said {
    Field field;
    Amount value;
    Source source = Source::kModel;
};

UsageCounts counts(std::initializer_list<Said> list) {
    UsageCounts result;
    for (const Said& said : list) {
        result.set(said.source, said.field, said.value);
    }
    return result;
}

void expect(std::initializer_list<Said> list, Amount input, Amount output, Amount cached) {
    const TokenCounts sum = counts(list).reported().counts;
    EXPECT_EQ(sum.input, input);
    EXPECT_EQ(sum.output, output);
    EXPECT_EQ(sum.cached_input, cached);
}

TEST(UsageCounts, KnowNothingAtFirst) {
    EXPECT_FALSE(counts({}).has_any());
    expect({}, 0, 0, 0);
    EXPECT_TRUE(counts({{Field::kPrompt, 0}}).has_any());
    EXPECT_TRUE(counts({{Field::kOutput, 0}}).has_any());
    EXPECT_TRUE(counts({{Field::kTotal, 0}}).has_any());
}

TEST(UsageCounts, KeepTheLargestValue) {
    expect({{Field::kPrompt, 5}, {Field::kOutput, 3}, {Field::kOutput, 7}, {Field::kOutput, 0}}, 5,
           7, 0);
}

TEST(UsageCounts, SayWhichSideIsKnown) {
    EXPECT_FALSE(counts({{Field::kPrompt, 5}}).reported().has_output);
    EXPECT_FALSE(counts({{Field::kOutput, 5}}).reported().has_input);
    EXPECT_TRUE(counts({{Field::kTotal, 5}}).reported().has_output);
    EXPECT_FALSE(counts({{Field::kSeconds, 5}}).reported().has_input);
    EXPECT_TRUE(counts({{Field::kSeconds, 5}}).has_any());
}

TEST(UsageCounts, CountWhatToolsAddAsInput) {
    expect({{Field::kPrompt, 80},
            {Field::kToolInput, 237},
            {Field::kOutput, 173},
            {Field::kThoughts, 60},
            {Field::kTrueTotal, 550}},
           317, 233, 0);
}

TEST(UsageCounts, DistinguishCacheWritesByTheirLifetime) {
    const TokenCounts both = counts({{Field::kInput, 10},
                                     {Field::kCacheWrite, 100},
                                     {Field::kCacheWrite5m, 30},
                                     {Field::kCacheWrite1h, 70}})
                                 .reported()
                                 .counts;
    EXPECT_EQ(both.input, 110U);
    EXPECT_EQ(both.cache_write, 30U);
    EXPECT_EQ(both.cache_write_1h, 70U);
    const TokenCounts part =
        counts({{Field::kInput, 110}, {Field::kWritten, 100}, {Field::kCached, 5}})
            .reported()
            .counts;
    EXPECT_EQ(part.input, 110U);
    EXPECT_EQ(part.cache_write, 100U);
    EXPECT_EQ(part.cached_input, 5U);
}

TEST(UsageCounts, TakeTheSumOfStepsIfItIsLarger) {
    expect({{Field::kInput, 23, Source::kModel},
            {Field::kOutput, 10, Source::kModel},
            {Field::kInput, 203, Source::kSteps},
            {Field::kOutput, 45, Source::kSteps}},
           203, 45, 0);
    expect({{Field::kInput, 23}, {Field::kInput, 20, Source::kSteps}}, 23, 0, 0);
}

TEST(UsageCounts, IncludeCachedTokensInThePrompt) {
    expect({{Field::kPrompt, 10}, {Field::kCached, 4}, {Field::kOutput, 1}}, 10, 1, 4);
    // LiteLLM writes OpenAI's names and Anthropic's
    expect({{Field::kPrompt, 10}, {Field::kCached, 4}, {Field::kCacheRead, 4}}, 10, 0, 4);
    expect({{Field::kPrompt, 10}, {Field::kCacheRead, 4}, {Field::kCacheWrite, 2}}, 10, 0, 4);
}

TEST(UsageCounts, AddCacheCountsThatStandBesideTheInput) {
    expect({{Field::kInput, 50}, {Field::kCacheRead, 200}, {Field::kCacheWrite, 100}}, 350, 0, 200);
    expect({{Field::kInput, 50}, {Field::kCached, 20}}, 50, 0, 20);
}

TEST(UsageCounts, DeriveTheOutputFromATrueTotal) {
    expect({{Field::kPrompt, 5}, {Field::kOutput, 3}, {Field::kThoughts, 9}}, 5, 12, 0);
    expect({{Field::kPrompt, 5}, {Field::kOutput, 3}, {Field::kTrueTotal, 18}}, 5, 13, 0);
    expect({{Field::kPrompt, 5}, {Field::kOutput, 3}, {Field::kTrueTotal, 4}}, 5, 0, 0);
    expect({{Field::kOutput, 3}, {Field::kThoughts, 4}, {Field::kTrueTotal, 18}}, 11, 7, 0);
}

TEST(UsageCounts, FillInAMissingCountFromATotal) {
    expect({{Field::kTotal, 9}}, 9, 0, 0);
    expect({{Field::kPrompt, 9}, {Field::kTotal, 9}}, 9, 0, 0);
    expect({{Field::kPrompt, 4}, {Field::kTotal, 9}}, 4, 5, 0);
    expect({{Field::kOutput, 4}, {Field::kTotal, 9}}, 5, 4, 0);
    expect({{Field::kOutput, 9}, {Field::kTotal, 4}}, 0, 9, 0);
    expect({{Field::kPrompt, 1}, {Field::kOutput, 2}, {Field::kTotal, 9}}, 1, 2, 0);
}

TEST(UsageCounts, CountReasoningAsOutputUnlessTheTotalSaysOtherwise) {
    expect({{Field::kPrompt, 12},
            {Field::kOutput, 100},
            {Field::kReasoning, 90},
            {Field::kTotal, 112}},
           12, 100, 0);
    expect({{Field::kPrompt, 37},
            {Field::kOutput, 530},
            {Field::kReasoning, 233},
            {Field::kTotal, 800}},
           37, 763, 0);
}

TEST(UsageCounts, TakeTheFirstSourceThatKnows) {
    expect({{Field::kInput, 7, Source::kBeside},
            {Field::kInput, 5, Source::kBeside},
            {Field::kOutput, 8, Source::kBeside},
            {Field::kOutput, 3}},
           7, 3, 0);
    expect({{Field::kTotal, 9}, {Field::kOutput, 8, Source::kBeside}}, 9, 8, 0);
    expect({{Field::kInput, 1}, {Field::kCacheRead, 8, Source::kBeside}}, 1, 0, 0);
}

TEST(UsageCounts, PreferANumberToAReportedZero) {
    expect({{Field::kPrompt, 0}, {Field::kInput, 5000}, {Field::kOutput, 7}}, 5000, 7, 0);
    expect({{Field::kPrompt, 0}, {Field::kInput, 0}, {Field::kCacheRead, 200}}, 200, 0, 200);
    expect({{Field::kPrompt, 40}, {Field::kInput, 50}}, 50, 0, 0);
    expect({{Field::kInput, 0},
            {Field::kOutput, 0},
            {Field::kInput, 50, Source::kBeside},
            {Field::kOutput, 9, Source::kBeside}},
           50, 9, 0);
    expect({{Field::kInput, 0, Source::kConfigured}, {Field::kInput, 50}}, 0, 0, 0);
}

TEST(UsageCounts, SayWhetherATotalIncludesTheOutput) {
    EXPECT_TRUE(counts({{Field::kTotal, 5}}).reported().is_total);
    EXPECT_FALSE(counts({{Field::kTotal, 5}, {Field::kPrompt, 5}}).reported().is_total);
    EXPECT_FALSE(counts({{Field::kPrompt, 5}, {Field::kOutput, 0}}).reported().is_total);
}

TEST(UsageCounts, CapEveryCount) {
    expect({{Field::kInput, kMaxAmount},
            {Field::kCacheRead, kMaxAmount},
            {Field::kCacheWrite, kMaxAmount},
            {Field::kOutput, kMaxAmount},
            {Field::kThoughts, kMaxAmount}},
           kMaxAmount, kMaxAmount, kMaxAmount);
    expect({{Field::kPrompt, 3}, {Field::kCached, 5}}, 3, 0, 3);
}

}  // namespace
}  // namespace ai_limit
