#include "core/counts/text_allowance.h"

#include <gtest/gtest.h>

#include "random.h"

namespace ai_limit {
namespace {

TokenWeights weights_of(const char* count) {
    TokenWeights weights;
    EXPECT_EQ(parse_token_weights(count, &weights), nullptr);
    return weights;
}

ReportedUsage reported(Amount input, Amount output) {
    ReportedUsage usage;
    usage.counts.input = input;
    usage.counts.output = output;
    usage.has_input = input != 0;
    usage.has_output = output != 0;
    return usage;
}

/** Returns the text that an answer may have before its reservation is used up. */
uint64_t allowed(Amount reserved, Amount prompt, const char* count = "total", uint64_t text = 0) {
    return text_allowed(reserved, used_so_far({}, text, prompt), weights_of(count));
}

TEST(TextAllowance, CountsFourCharactersATokenBesideThePrompt) {
    EXPECT_EQ(allowed(1000, 400), 2400u);
    EXPECT_EQ(allowed(1000, 400, "total", 2000), 400u);
    EXPECT_EQ(allowed(1000, 400, "total", 2397), 0u) << "a part of a token is one";
    EXPECT_EQ(allowed(1000, 1000), 0u);
    EXPECT_EQ(allowed(0, 400), 0u);
}

TEST(TextAllowance, GoesByTheWeights) {
    EXPECT_EQ(allowed(1000, 400, "input:1,output:4"), 600u);
    EXPECT_EQ(allowed(1000, 400, "output"), 4000u);
    EXPECT_EQ(allowed(10, 9, "input:0.1,output:0.001"), 4u * 9100u);
    EXPECT_EQ(allowed(1000, 400, "input"), kUnlimitedText);
    EXPECT_EQ(allowed(0, 400, "input"), kUnlimitedText);
}

TEST(TextAllowance, BelievesTheReportedInputAndTheLargerOutput) {
    const TokenWeights total;
    EXPECT_EQ(text_allowed(1000, used_so_far(reported(900, 0), 0, 400), total), 400u);
    EXPECT_EQ(text_allowed(1000, used_so_far(reported(100, 0), 0, 400), total), 3600u);
    EXPECT_EQ(text_allowed(1000, used_so_far(reported(100, 700), 400, 400), total), 800u);
    EXPECT_EQ(text_allowed(1000, used_so_far(reported(100, 700), 3200, 400), total), 400u);
}

TEST(TextAllowance, SaysWhatIsWantedAheadOfTheText) {
    const TokenWeights total;
    const TokenCounts used = used_so_far({}, 4000, 400);
    EXPECT_EQ(growth_wanted(1000, used, 256, total), 656u);
    EXPECT_EQ(growth_wanted(1000, used, 0, total), 400u);
    EXPECT_EQ(growth_wanted(1656, used, 256, total), 0u);
    EXPECT_EQ(growth_wanted(0, used, 256, weights_of("output:0.5,input:0")), 628u);
}

TEST(TextAllowance, AllowsExactlyTheTextThatFits) {
    Random random(7);
    for (int i = 0; i < 20'000; ++i) {
        TokenWeights weights;
        weights.input = random.scaled(kMaxWeight);
        weights.output = 1 + random.scaled(kMaxWeight);
        const uint64_t text = random.scaled(100'000);
        const TokenCounts used = used_so_far({}, text, random.scaled(kMaxAmount));
        const Amount reserved = random.scaled(kMaxAmount - 1);
        const uint64_t most = text_allowed(reserved, used, weights);
        if (most == 0 || most == kUnlimitedText) {
            TokenCounts next = used;
            ++next.output;
            ASSERT_TRUE(most != 0 || weigh(next, weights) > reserved);
            continue;
        }
        TokenCounts then = used;
        then.output += most / 4;
        ASSERT_LE(weigh(then, weights), reserved);
        ++then.output;
        ASSERT_GT(weigh(then, weights), reserved);
    }
}

}  // namespace
}  // namespace ai_limit
