// Tests how much output fits into what a policy has left.

#include "core/counts/output_room.h"

#include <gtest/gtest.h>

#include "random.h"

namespace ai_limit {
namespace {

TokenWeights weights_of(std::string_view text) {
    TokenWeights weights;
    EXPECT_EQ(parse_token_weights(text, &weights), nullptr) << text;
    return weights;
}

TEST(OutputRoom, DividesWhatIsLeftByTheWeightOfOutput) {
    EXPECT_EQ(output_room(100, TokenWeights()), 100);
    EXPECT_EQ(output_room(0, TokenWeights()), 0);
    EXPECT_EQ(output_room(100, weights_of("output")), 100);
    EXPECT_EQ(output_room(99, weights_of("input:1,output:4")), 24);
    EXPECT_EQ(output_room(3, weights_of("input:1,output:4")), 0);
    EXPECT_EQ(output_room(100, weights_of("input:1,output:0.3")), 333);
    EXPECT_EQ(output_room(kMaxAmount, weights_of("output:0.000000001")), kMaxAmount);
    EXPECT_EQ(output_room(100, weights_of("input")), kMaxAmount);
}

TEST(OutputRoom, TakesTheHeaviestKindOfOutput) {
    EXPECT_EQ(output_room(100, weights_of("output:1,reasoning:5")), 20);
    EXPECT_EQ(output_room(100, weights_of("output:1,audio_output:10")), 10);
    EXPECT_EQ(output_room(100, weights_of("output:2,reasoning:0")), 50);
}

TEST(OutputRoom, IsTheMostThatDoesNotCostMore) {
    Random random(1);
    for (int i = 0; i < 20'000; ++i) {
        TokenWeights weights;
        weights.output = random.scaled(kMaxWeight);
        weights.reasoning = random.one_in(2) ? weights.output : random.scaled(kMaxWeight);
        weights.audio_output = random.one_in(2) ? 0 : random.scaled(kMaxWeight);
        const Amount left = random.scaled(kMaxAmount - 1);
        const Amount room = output_room(left, weights);
        ASSERT_LE(output_cost(room, weights), left);
        ASSERT_TRUE(room == kMaxAmount || output_cost(room + 1, weights) > left);
        TokenCounts counts;
        counts.output = random.below(room + 1);
        counts.reasoning = random.below(counts.output + 1);
        counts.audio_output = random.below(counts.output - counts.reasoning + 1);
        ASSERT_LE(weigh(counts, weights), left);
    }
}

}  // namespace
}  // namespace ai_limit
