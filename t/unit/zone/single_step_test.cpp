// The tool that runs code one instruction at a time sees each change of memory, in both of its
// ways.

#include "single_step.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace ai_limit {
namespace {

using Run = uint64_t (*)(const SingleStep::Work& action, const SingleStep::Work& see);

/** Returns the values that a counter had while it was raised to 3, without repetitions. */
std::vector<int> values_seen(Run run, uint64_t* steps) {
    volatile int counter = 0;
    std::vector<int> seen;
    *steps = run(
        [&] {
            for (int i = 0; i < 3; ++i) {
                counter = counter + 1;
            }
        },
        [&] {
            const int now = counter;
            if (seen.empty() || seen.back() != now) {
                seen.push_back(now);
            }
        });
    return seen;
}

TEST(SingleStep, SeesEachValueOfACounter) {
    if (const char* why = SingleStep::why_not()) {
        GTEST_SKIP() << why;
    }
    uint64_t steps = 0;
    EXPECT_EQ(values_seen(SingleStep::run, &steps), (std::vector<int>{0, 1, 2, 3}));
    EXPECT_GT(steps, 9u);
}

TEST(SingleStep, SeesTheSameByPtrace) {
    if (!SingleStep::can_trace()) {
        GTEST_SKIP() << "needs ptrace, which is refused here";
    }
    uint64_t steps = 0;
    EXPECT_EQ(values_seen(SingleStep::trace, &steps), (std::vector<int>{0, 1, 2, 3}));
    EXPECT_GT(steps, 9u);
}

}  // namespace
}  // namespace ai_limit
