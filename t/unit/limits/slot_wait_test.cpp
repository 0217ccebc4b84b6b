#include "core/limits/slot_wait.h"

#include <gtest/gtest.h>

namespace ai_limit {
namespace {

SlotDuration* learned(SlotDuration* average, Millis held, int times = 1) {
    for (int i = 0; i < times; i++) {
        learn_slot_duration(average, held);
    }
    return average;
}

TEST(SlotWait, IsOneSecondUntilARequestHasEnded) {
    const SlotDuration nothing{};
    for (const uint32_t chance : {0U, 256U, UINT32_MAX}) {
        EXPECT_EQ(likely_slot_wait(nothing, 4, 4, chance), 1'000);
    }
}

TEST(SlotWait, IsTheDurationDividedByTheSlotsPlusUpToAQuarter) {
    SlotDuration average{};
    learned(&average, 20'000);
    EXPECT_EQ(likely_slot_wait(average, 1, 1, 0), 20'000);
    EXPECT_EQ(likely_slot_wait(average, 4, 4, 0), 5'000);
    EXPECT_EQ(likely_slot_wait(average, 4, 4, 256), 6'250);
    for (uint32_t chance = 0; chance < 1000; chance++) {
        const Millis wait = likely_slot_wait(average, 4, 4, chance);
        EXPECT_GE(wait, 5'000);
        EXPECT_LE(wait, 6'250);
    }
}

TEST(SlotWait, IsLongerIfSeveralRequestsMustEndFirst) {
    SlotDuration average{};
    learned(&average, 20'000);
    EXPECT_EQ(likely_slot_wait(average, 4, 2, 0), 15'000);
}

TEST(SlotWait, StaysBetweenOneSecondAndAMinute) {
    SlotDuration shortest{};
    learned(&shortest, 5);
    EXPECT_EQ(likely_slot_wait(shortest, 1, 1, 256), 1'000);
    SlotDuration longest{};
    learned(&longest, INT64_MAX);
    EXPECT_EQ(likely_slot_wait(longest, 1, 1, 256), 59'999);
    EXPECT_EQ(likely_slot_wait(longest, kMaxAmount, 1, 256), 59'999);
    EXPECT_EQ(likely_slot_wait(longest, 0, 0, 0), 59'999);
}

TEST(SlotWait, FollowsRequestsThatTakeLonger) {
    SlotDuration average{};
    learned(&average, 2'000, 100);
    EXPECT_NEAR(static_cast<double>(likely_slot_wait(average, 1, 1, 0)), 2'000, 20);
    learned(&average, 30'000, 8);
    EXPECT_GT(likely_slot_wait(average, 1, 1, 0), 15'000);
    learned(&average, 30'000, 60);
    EXPECT_NEAR(static_cast<double>(likely_slot_wait(average, 1, 1, 0)), 30'000, 300);
}

TEST(SlotWait, CountsAMillisecondIfTheClockStandsOrGoesBack) {
    SlotDuration average{};
    learned(&average, 0);
    EXPECT_NE(average.load(), 0U);
    learned(&average, -5'000, 100);
    EXPECT_EQ(likely_slot_wait(average, 1, 1, 0), 1'000);
}

}  // namespace
}  // namespace ai_limit
