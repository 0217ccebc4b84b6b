#include "core/counts/reservation.h"

#include <gtest/gtest.h>

namespace ai_limit {
namespace {

constexpr TokenWeights kTotal;

TEST(Reservation, IsTheInputAndTheOutputByTheirWeights) {
    TokenWeights weights;
    ASSERT_EQ(parse_token_weights("input:1,output:4", &weights), nullptr);
    EXPECT_EQ(reservation({100, 150, 300}, weights, 10'000), 150U + 4 * 300);
    EXPECT_EQ(reservation({100, 150, 300}, kTotal, 10'000), 450U);
}

TEST(Reservation, IsTheMostThatAnyKindOfOutputCosts) {
    TokenWeights weights;
    ASSERT_EQ(parse_token_weights("input:1,output:4,reasoning:6", &weights), nullptr);
    EXPECT_EQ(reservation({100, 100, 300, true}, weights, 10'000), 100U + 6 * 300);
    EXPECT_EQ(reservation({100, 100, 300, false}, weights, 10'000), 100U + 4 * 300);
}

TEST(Reservation, IsAtMostTheLimit) {
    EXPECT_EQ(reservation({100, 150, 300}, kTotal, 200), 200U);
}

Expectation with_spare(Amount output, Amount spare) {
    Expectation expected{100, 100, output};
    expected.spare = spare;
    return expected;
}

TEST(Reservation, HasWhatIsToSpareUpToASixteenthOfTheLimit) {
    EXPECT_EQ(reservation(with_spare(300, 300), kTotal, 16'000), 700U);
    EXPECT_EQ(reservation(with_spare(800, 800), kTotal, 16'000), 1000U);
    EXPECT_EQ(reservation(with_spare(1000, 1000), kTotal, 16'000), 1100U);
    EXPECT_EQ(reservation(with_spare(1000, 1000), kTotal, 500), 500U);
}

TEST(Reservation, NeverFitsIfThePromptAloneIsAboveTheLimit) {
    EXPECT_EQ(reservation({201, 150, 300}, kTotal, 200), 201U);
}

TEST(Reservation, WhatWasLearnedNeverMakesARequestTooLarge) {
    EXPECT_EQ(reservation({100, 400, 0}, kTotal, 200), 200U);
}

TEST(Reservation, WhatWasLearnedNeverLetsATooLargeRequestPass) {
    EXPECT_EQ(reservation({400, 100, 0}, kTotal, 200), 400U);
}

}  // namespace
}  // namespace ai_limit
