#include "core/counts/answer_cost.h"

#include <gtest/gtest.h>

namespace ai_limit {
namespace {

constexpr Amount kUnknown = UINT64_MAX;

/**
 * Returns the facts of an answer that told these tokens; kUnknown stands for a side that it did not
 * tell.
 */
AnswerFacts reported(Amount input, Amount output) {
    AnswerFacts facts;
    facts.reported.has_input = input != kUnknown;
    facts.reported.has_output = output != kUnknown;
    facts.reported.counts.input = facts.reported.has_input ? input : 0;
    facts.reported.counts.output = facts.reported.has_output ? output : 0;
    facts.prompt = 100;
    return facts;
}

AnswerFacts finished(Amount input, Amount output) {
    AnswerFacts facts = reported(input, output);
    facts.finished = true;
    return facts;
}

void expect(const AnswerFacts& facts, Amount input, Amount output, bool estimated) {
    const AnswerCost cost = answer_cost(facts);
    EXPECT_EQ(cost.counts.input, input);
    EXPECT_EQ(cost.counts.output, output);
    EXPECT_EQ(cost.estimated, estimated);
}

AnswerFacts with_text(AnswerFacts facts, uint64_t text) {
    facts.text = text;
    return facts;
}

TEST(AnswerCost, ChargesAFinishedAnswerWhatItReports) {
    expect(with_text(finished(12, 5), 400), 12, 5, false);
    expect(finished(12, 0), 12, 0, false);
    expect(finished(0, 0), 0, 0, false);
    expect(with_text(finished(0, 0), 400), 0, 0, false);
}

TEST(AnswerCost, ChargesTheTextIfTheReportedOutputIsZero) {
    expect(with_text(finished(12, 0), 400), 12, 100, true);
    expect(with_text(reported(0, 0), 400), 100, 100, true);
}

TEST(AnswerCost, CountsTheOutputAsPartOfATotalThatStandsAlone) {
    AnswerFacts facts = with_text(finished(1300, 0), 400);
    facts.reported.is_total = true;
    expect(facts, 1300, 0, false);
}

/** Anthropic's streams may begin with zeros: a client that leaves then has had its prompt read. */
TEST(AnswerCost, ChargesAnUnfinishedAnswerItsPrompt) {
    AnswerFacts facts = reported(0, 0);
    expect(facts, 100, 0, true);
    facts.reports_all_output = true;
    expect(facts, 100, 0, true);
    facts.prompt = 0;
    expect(facts, 0, 0, false);
}

TEST(AnswerCost, ChargesTheEstimateIfTheInputIsMissing) {
    expect(finished(0, 5), 100, 5, true);
    expect(finished(kUnknown, 5), 100, 5, true);
    AnswerFacts without_prompt = finished(0, 5);
    without_prompt.prompt = 0;
    expect(without_prompt, 0, 5, false);
}

TEST(AnswerCost, ChargesTheTextIfTheOutputIsMissing) {
    expect(with_text(reported(12, kUnknown), 41), 12, 11, true);
    expect(reported(kUnknown, kUnknown), 100, 0, true);
}

TEST(AnswerCost, ChargesAnUnfinishedAnswerAtLeastItsText) {
    expect(with_text(reported(12, 1), 400), 12, 100, true);
    expect(with_text(reported(12, 150), 400), 12, 150, true);
    expect(with_text(reported(0, 0), 400), 100, 100, true);
    expect(reported(0, 0), 100, 0, true);
}

/** Cut behind its usage, and before the end. */
TEST(AnswerCost, ChargesAnAbortedAnswerWhatItReportedIfThatIsAllOfItsOutput) {
    AnswerFacts facts = with_text(reported(12, 150), 400);
    facts.reports_all_output = true;
    expect(facts, 12, 150, false);
}

TEST(AnswerCost, ChargesOnlyTheInputIfThereIsNoText) {
    expect(finished(12, kUnknown), 12, 0, false);
    expect(reported(12, kUnknown), 12, 0, false);
}

TEST(AnswerCost, CountsUnreadableBytesAsText) {
    AnswerFacts facts = reported(kUnknown, kUnknown);
    facts.unreadable = 403;
    expect(facts, 100, 100, true);
    facts.text = UINT64_MAX / 2;
    expect(facts, 100, kMaxAmount, true);
}

TEST(AnswerCost, NeverLetsTextBeFree) {
    expect(with_text(reported(12, kUnknown), 1), 12, 1, true);
    AnswerFacts facts = reported(kUnknown, kUnknown);
    facts.unreadable = 1;
    expect(facts, 100, 1, true);
}

TEST(AnswerCost, KeepsPartsWithinTheWhole) {
    AnswerFacts facts = reported(kUnknown, 5);
    facts.reported.counts.cached_input = 150;
    facts.reported.counts.cache_write_1h = 50;
    const TokenCounts counts = answer_cost(facts).counts;
    EXPECT_EQ(counts.cached_input, 100U);
    EXPECT_EQ(counts.cache_write_1h, 50U);
}

TEST(AbandonedCost, GrowsWithTheWait) {
    const AnswerCost cost = abandoned_cost(100, 2500, 1000);
    EXPECT_EQ(cost.counts.input, 100U);
    EXPECT_EQ(cost.counts.output, 125U);
    EXPECT_TRUE(cost.estimated);
    EXPECT_EQ(abandoned_cost(100, 2500, 40).counts.output, 40U);
    EXPECT_EQ(abandoned_cost(100, -5, 40).counts.output, 0U);
    EXPECT_EQ(abandoned_cost(0, INT64_MAX, UINT64_MAX).counts.output, 50'000'000U);
}

}  // namespace
}  // namespace ai_limit
