#include "core/limits/algorithm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/limits/rate.h"
#include "random.h"

namespace ai_limit {
namespace {

constexpr Millis kMinute = 60'000;
constexpr Millis kHour = 60 * kMinute;
constexpr Millis kDay = 24 * kHour;

/** The monotonic clock at a whole hour of its own, the wall clock at 2025-08-21T12:40:00Z. */
constexpr Now kNow = {1000 * kHour, 1'755'780'000'000};

constexpr Now later(Millis length) {
    return {kNow.monotonic + length, kNow.wall + length};
}

Limit limit(Algorithm algorithm, const std::string& rate_text, Amount burst = 0,
            Millis time_zone = 0) {
    Rate rate{};
    Limit made{};
    EXPECT_EQ(parse_rate(rate_text, &rate), nullptr) << rate_text;
    EXPECT_EQ(make_limit(algorithm, rate, burst, time_zone, &made), nullptr) << rate_text;
    return made;
}

Limit bucket(const std::string& rate, Amount burst = 0) {
    return limit(Algorithm::kTokenBucket, rate, burst);
}
Limit sliding(const std::string& rate) {
    return limit(Algorithm::kSlidingWindow, rate);
}
Limit fixed(const std::string& rate) {
    return limit(Algorithm::kFixedWindow, rate);
}

/** Decides as for a request, and says what is to be said of it. */
Description ask(const Limit& limit, State* state, Amount cost, Now now) {
    advance(limit, state, now);
    const bool refused = !fits(limit, used(limit, *state), cost);
    if (!refused) {
        charge(limit, state, cost, now);
    }
    return describe(limit, *state, cost, refused, now);
}

/** Returns a line of text, so that a difference can be read. */
std::string shown(const Description& said) {
    const std::string wait = said.wait == kNever ? "never" : std::to_string(said.wait);
    return "limit=" + std::to_string(said.limit) + " remaining=" + std::to_string(said.remaining) +
           " requested=" + std::to_string(said.requested) +
           " window=" + std::to_string(said.window) + " reset=" + std::to_string(said.reset) +
           " next=" + std::to_string(said.next) +
           (said.refused     ? " refused, wait=" + wait
            : said.wait == 0 ? ""
                             : " passed, but wait=" + wait);
}

TEST(Describe, DescribesATokenBucket) {
    const Limit limit = bucket("6r/m", 5);
    State state{};
    EXPECT_EQ(shown(ask(limit, &state, 1, kNow)),
              "limit=5 remaining=4 requested=1 window=50000 reset=10000 next=10000");
    EXPECT_EQ(shown(ask(limit, &state, 3, kNow)),
              "limit=5 remaining=1 requested=3 window=50000 reset=40000 next=10000");
    EXPECT_EQ(
        shown(ask(limit, &state, 3, later(4000))),
        "limit=5 remaining=1 requested=3 window=50000 reset=36000 next=6000 refused, wait=16000");
    EXPECT_EQ(shown(ask(limit, &state, 1, later(4000))),
              "limit=5 remaining=0 requested=1 window=50000 reset=46000 next=6000");
    EXPECT_EQ(shown(ask(limit, &state, 5, later(49'999))),
              "limit=5 remaining=4 requested=5 window=50000 reset=1 next=1 refused, wait=1");
    EXPECT_EQ(shown(ask(limit, &state, 5, later(50'000))),
              "limit=5 remaining=0 requested=5 window=50000 reset=50000 next=10000");
}

TEST(Describe, DescribesASlidingWindow) {
    const Limit limit = sliding("5r/8m");
    State state{};
    EXPECT_EQ(shown(ask(limit, &state, 2, kNow)),
              "limit=5 remaining=3 requested=2 window=480000 reset=480000 next=480000");
    EXPECT_EQ(shown(ask(limit, &state, 3, later(90'000))),
              "limit=5 remaining=0 requested=3 window=480000 reset=480000 next=450000");
    EXPECT_EQ(shown(ask(limit, &state, 2, later(100'000))),
              "limit=5 remaining=0 requested=2 window=480000 reset=470000 next=440000 refused, "
              "wait=440000");
    EXPECT_EQ(shown(ask(limit, &state, 3, later(100'000))),
              "limit=5 remaining=0 requested=3 window=480000 reset=470000 next=440000 refused, "
              "wait=470000");
    EXPECT_EQ(
        shown(ask(limit, &state, 3, later(540'000))),
        "limit=5 remaining=2 requested=3 window=480000 reset=30000 next=30000 refused, wait=30000");
}

TEST(Describe, DescribesAFixedWindow) {
    const Limit limit = fixed("5r/h");
    State state{};
    EXPECT_EQ(shown(ask(limit, &state, 2, kNow)),
              "limit=5 remaining=3 requested=2 window=3600000 reset=1200000 next=1200000");
    EXPECT_EQ(shown(ask(limit, &state, 4, later(1))),
              "limit=5 remaining=3 requested=4 window=3600000 reset=1199999 next=1199999 refused, "
              "wait=1199999");
    EXPECT_EQ(shown(ask(limit, &state, 3, later(20 * kMinute - 1))),
              "limit=5 remaining=0 requested=3 window=3600000 reset=1 next=1");
    EXPECT_EQ(shown(ask(limit, &state, 1, later(20 * kMinute))),
              "limit=5 remaining=4 requested=1 window=3600000 reset=3600000 next=3600000");
}

TEST(Describe, GivesAMonthItsTrueLength) {
    State august{};
    EXPECT_EQ(ask(fixed("5r/month"), &august, 1, kNow).window, 31 * kDay);
    State september{};
    EXPECT_EQ(ask(fixed("5r/month"), &september, 1, later(15 * kDay)).window, 30 * kDay);
}

TEST(Describe, DescribesConcurrency) {
    const Limit limit = concurrency_limit(2);
    State state{};
    EXPECT_EQ(shown(ask(limit, &state, 1, kNow)),
              "limit=2 remaining=1 requested=1 window=0 reset=1000 next=1000");
    EXPECT_EQ(shown(ask(limit, &state, 1, kNow)),
              "limit=2 remaining=0 requested=1 window=0 reset=1000 next=1000");
    EXPECT_EQ(shown(ask(limit, &state, 1, later(kDay))),
              "limit=2 remaining=0 requested=1 window=0 reset=1000 next=1000 refused, wait=1000");
}

TEST(Describe, SaysWhatIsCountedAndInWhichPeriod) {
    State state{};
    Description said = ask(bucket("100kt/15m"), &state, 1, kNow);
    EXPECT_EQ(said.measure, Measure::kTokens);
    EXPECT_EQ(said.period.count, 15U);
    EXPECT_EQ(said.period.unit, PeriodUnit::kMinute);
    state = State{};
    said = ask(concurrency_limit(3), &state, 1, kNow);
    EXPECT_EQ(said.measure, Measure::kInFlight);
    EXPECT_TRUE(said.policy.empty());
}

struct Kind {
    const char* name;
    Limit five;
    Limit two;
    Limit none;
};

std::vector<Kind> kinds() {
    return {{"token_bucket", bucket("5r/h"), bucket("2r/h"), bucket("0r/h")},
            {"sliding_window", sliding("5r/h"), sliding("2r/h"), sliding("0r/h")},
            {"fixed_window", fixed("5r/h"), fixed("2r/h"), fixed("0r/h")},
            {"concurrency", concurrency_limit(5), concurrency_limit(2), concurrency_limit(0)}};
}

TEST(Describe, SaysNoWaitIfNothingIsUsed) {
    for (const Kind& kind : kinds()) {
        State state{};
        const Description said = ask(kind.five, &state, 0, kNow);
        EXPECT_FALSE(said.refused) << kind.name;
        EXPECT_EQ(said.remaining, 5U) << kind.name;
        EXPECT_EQ(said.reset, 0) << kind.name;
        EXPECT_EQ(said.next, 0) << kind.name;
        EXPECT_EQ(said.wait, 0) << kind.name;
    }
}

TEST(Describe, SaysThatACostAboveTheCapacityNeverFits) {
    for (const Kind& kind : kinds()) {
        State state{};
        for (const Amount cost : {Amount{6}, kMaxAmount}) {
            const Description said = ask(kind.five, &state, cost, kNow);
            EXPECT_TRUE(said.refused) << kind.name;
            EXPECT_EQ(said.wait, kNever) << kind.name;
            EXPECT_EQ(said.requested, cost) << kind.name;
            EXPECT_EQ(said.remaining, 5U) << kind.name;
        }
        EXPECT_FALSE(ask(kind.five, &state, 5, kNow).refused) << kind.name;
        EXPECT_EQ(ask(kind.five, &state, 6, kNow).wait, kNever) << kind.name;
    }
}

TEST(Describe, RefusesEveryRequestForGoodIfTheCapacityIsZero) {
    for (const Kind& kind : kinds()) {
        State state{};
        for (const Now now : {kNow, later(kHour), later(1000 * kDay)}) {
            const Description said = ask(kind.none, &state, 1, now);
            EXPECT_TRUE(said.refused) << kind.name;
            EXPECT_EQ(said.limit, 0U) << kind.name;
            EXPECT_EQ(said.remaining, 0U) << kind.name;
            EXPECT_EQ(said.wait, kNever) << kind.name;
        }
    }
}

TEST(Describe, RefusesAKeyWithUseIfTheCapacityIsZero) {
    for (const Kind& kind : kinds()) {
        State state{};
        EXPECT_FALSE(ask(kind.five, &state, 3, kNow).refused) << kind.name;
        const Description said = ask(kind.none, &state, 1, later(1));
        EXPECT_TRUE(said.refused) << kind.name;
        EXPECT_EQ(said.remaining, 0U) << kind.name;
        EXPECT_EQ(said.wait, kNever) << kind.name;
    }
}

TEST(Describe, LeavesNothingWhileMoreIsUsedThanTheCapacity) {
    for (const Kind& kind : kinds()) {
        State state{};
        EXPECT_FALSE(ask(kind.five, &state, 5, kNow).refused) << kind.name;
        const Description said = ask(kind.two, &state, 1, later(1));
        EXPECT_TRUE(said.refused) << kind.name;
        EXPECT_EQ(said.limit, 2U) << kind.name;
        EXPECT_EQ(said.remaining, 0U) << kind.name;
        EXPECT_EQ(said.next, said.wait) << kind.name;  // for one more
        EXPECT_GE(said.reset, said.next) << kind.name;
        EXPECT_EQ(used(kind.two, state), 5U) << kind.name;
    }
    State state{};
    EXPECT_FALSE(ask(bucket("5r/h"), &state, 5, kNow).refused);
    EXPECT_EQ(
        shown(ask(bucket("1r/h", 2), &state, 1, kNow)),
        "limit=2 remaining=0 requested=1 window=7200000 reset=18000000 next=14400000 refused, "
        "wait=14400000");
    EXPECT_EQ(shown(ask(bucket("1r/h", 2), &state, 1, later(4 * kHour))),
              "limit=2 remaining=0 requested=1 window=7200000 reset=7200000 next=3600000");
}

TEST(Describe, PassesACostOfZeroAndTakesNothing) {
    for (const Kind& kind : kinds()) {
        State state{};
        EXPECT_FALSE(ask(kind.five, &state, 5, kNow).refused) << kind.name;
        const Description said = ask(kind.five, &state, 0, kNow);
        EXPECT_FALSE(said.refused) << kind.name;
        EXPECT_EQ(said.remaining, 0U) << kind.name;
        EXPECT_EQ(used(kind.five, state), 5U) << kind.name;
    }
}

TEST(DescribeProperty, PredictsExactlyToTheMillisecond) {
    const std::string rates[] = {"5r/s", "7r/h", "100r/15m", "1r/month", "999r/d", "1000000r/m"};
    for (uint64_t seed = 0; seed < 2000; ++seed) {
        Random random(seed);
        const Algorithm algorithms[] = {Algorithm::kTokenBucket, Algorithm::kSlidingWindow,
                                        Algorithm::kFixedWindow};
        const Limit limit = ai_limit::limit(random.one_of(algorithms), random.one_of(rates));
        State state{};
        Now now = later(random.between(0, 400 * kDay));
        for (int i = 0; i < 20; ++i) {
            const Millis step = random.between(0, limit.period_length / 8);
            now = {now.monotonic + step, now.wall + step};
            const Description said = ask(limit, &state, random.scaled(limit.capacity), now);
            const auto remaining_after = [&](Millis length) {
                State copy = state;
                const Now then = {now.monotonic + length, now.wall + length};
                advance(limit, &copy, then);
                return limit.capacity - std::min(limit.capacity, used(limit, copy));
            };
            const std::string what = shown(said) + ", seed " + std::to_string(seed);
            ASSERT_EQ(remaining_after(0), said.remaining) << what;
            if (said.remaining == said.limit) {
                continue;
            }
            ASSERT_EQ(remaining_after(said.reset), said.limit) << what;
            ASSERT_LT(remaining_after(said.reset - 1), said.limit) << what;
            ASSERT_GT(remaining_after(said.next), said.remaining) << what;
            ASSERT_EQ(remaining_after(said.next - 1), said.remaining) << what;
            if (said.refused) {
                ASSERT_GE(remaining_after(said.wait), said.requested) << what;
                ASSERT_LT(remaining_after(said.wait - 1), said.requested) << what;
            }
        }
    }
}

TEST(MakeLimit, NeedsAWholeNumberForAWindow) {
    Rate rate{};
    Limit made{};
    ASSERT_EQ(parse_rate("0.5r/s", &rate), nullptr);
    EXPECT_EQ(make_limit(Algorithm::kTokenBucket, rate, 0, 0, &made), nullptr);
    EXPECT_NE(make_limit(Algorithm::kSlidingWindow, rate, 0, 0, &made), nullptr);
    EXPECT_NE(make_limit(Algorithm::kFixedWindow, rate, 0, 0, &made), nullptr);
}

TEST(MakeLimit, CapsASlidingWindowAtThirtyTwoBits) {
    Rate rate{};
    Limit made{};
    ASSERT_EQ(parse_rate("4294967295r/s", &rate), nullptr);
    EXPECT_EQ(make_limit(Algorithm::kSlidingWindow, rate, 0, 0, &made), nullptr);
    ASSERT_EQ(parse_rate("4294967296r/s", &rate), nullptr);
    EXPECT_NE(make_limit(Algorithm::kSlidingWindow, rate, 0, 0, &made), nullptr);
    EXPECT_EQ(make_limit(Algorithm::kFixedWindow, rate, 0, 0, &made), nullptr);
}

TEST(MakeLimit, TakesTheNumberInTheRateIfThereIsNoBurst) {
    EXPECT_EQ(bucket("60r/m").capacity, 60U);
    EXPECT_EQ(bucket("0.5r/s").capacity, 1U);
    EXPECT_EQ(bucket("60r/m", 10).capacity, 10U);
    EXPECT_EQ(bucket("60r/m", 10).fills_in, 10'000);
    EXPECT_EQ(bucket("7r/h", 1).fills_in, 514'286);  // rounded up
    EXPECT_EQ(bucket("0r/m", 10).capacity, 0U);
}

TEST(Algorithm, OnlyTheSlidingWindowIsWide) {
    EXPECT_TRUE(is_wide(Algorithm::kSlidingWindow));
    EXPECT_FALSE(is_wide(Algorithm::kTokenBucket));
    EXPECT_FALSE(is_wide(Algorithm::kFixedWindow));
    EXPECT_FALSE(is_wide(Algorithm::kConcurrency));
}

TEST(Fits, NeverOverflows) {
    const Limit five = concurrency_limit(5);
    EXPECT_TRUE(fits(five, 0, 5));
    EXPECT_FALSE(fits(five, 1, 5));
    EXPECT_FALSE(fits(five, 0, 6));
    EXPECT_FALSE(fits(five, 1, UINT64_MAX));
    EXPECT_FALSE(fits(five, UINT64_MAX, 1));
    EXPECT_FALSE(fits(five, 6, 0));
}

}  // namespace
}  // namespace ai_limit
