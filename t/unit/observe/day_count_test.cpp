// Counts of a calendar day: exact over processes that begin the day at the same time.

#include "core/observe/day_count.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace ai_limit {
namespace {

constexpr Millis kHour = 3'600'000;

struct Counter {
    std::atomic<uint64_t> total{0};
    std::atomic<uint64_t> start{0};

    void add(uint64_t amount, DayNumber day) {
        begin_day(&start, total, day);
        total.fetch_add(amount);
    }
    uint64_t on(DayNumber day) const { return count_of_day(start, total, day); }
};

TEST(DayCount, BeginsADayAtMidnightOfItsTimeZone) {
    constexpr Millis kMidnight = 20'000 * kDayMillis;
    EXPECT_EQ(day_of(kMidnight, 0), 20'000);
    EXPECT_EQ(day_of(kMidnight - 1, 0), 19'999);
    EXPECT_EQ(day_of(kMidnight - 2 * kHour, 2 * kHour), 20'000);
    EXPECT_EQ(day_of(kMidnight + 8 * kHour - 1, -8 * kHour), 19'999);
    EXPECT_EQ(day_of(kMidnight + 8 * kHour, -8 * kHour), 20'000);
}

TEST(DayCount, CountsEachDayFromZero) {
    Counter counter;
    EXPECT_EQ(counter.on(20'000), 0u);
    counter.add(5, 20'000);
    counter.add(7, 20'000);
    EXPECT_EQ(counter.on(20'000), 12u);
    EXPECT_EQ(counter.on(20'001), 0u) << "nothing is counted on the next day yet";
    counter.add(3, 20'001);
    EXPECT_EQ(counter.on(20'001), 3u);
    EXPECT_EQ(counter.on(20'009), 0u);
    counter.add(4, 20'009);
    EXPECT_EQ(counter.on(20'009), 4u);
    EXPECT_EQ(counter.total, 19u);
}

TEST(DayCount, KeepsADayIfAProcesssClockIsLate) {
    Counter counter;
    counter.add(5, 20'001);
    counter.add(2, 20'000);
    EXPECT_EQ(counter.on(20'001), 7u);
}

TEST(DayCount, BeginsAnewIfTheClockWasSetWrong) {
    Counter counter;
    counter.add(5, 30'000);
    counter.add(2, 20'000);
    EXPECT_EQ(counter.on(20'000), 2u);
}

TEST(DayCount, GoesOnWhenTheTotalIsLargerThanADayCanCount) {
    Counter counter;
    counter.total = kDayCountMask - 2;
    counter.add(5, 20'000);
    EXPECT_EQ(counter.on(20'000), 5u);
    counter.add(6, 20'001);
    EXPECT_EQ(counter.on(20'001), 6u);
}

TEST(DayCount, GivesEveryAmountToOneDay) {
    constexpr unsigned kProcesses = 4;
    constexpr unsigned kAmounts = 20'000;
    for (DayNumber day = 20'000; day < 20'010; ++day) {
        Counter counter;
        counter.add(1'000, DayNumber(day - 1));
        std::vector<std::thread> processes;
        for (unsigned i = 0; i < kProcesses; ++i) {
            processes.emplace_back([&] {
                for (unsigned n = 0; n < kAmounts; ++n) {
                    counter.add(3, day);
                }
            });
        }
        for (std::thread& process : processes) {
            process.join();
        }
        ASSERT_EQ(counter.on(day), 3u * kProcesses * kAmounts);
    }
}

}  // namespace
}  // namespace ai_limit
