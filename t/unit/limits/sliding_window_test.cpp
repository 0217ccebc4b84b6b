#include "core/limits/sliding_window.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "core/limits/algorithm.h"
#include "core/limits/rate.h"
#include "limited_key.h"
#include "random.h"

namespace ai_limit {
namespace {

constexpr Millis kMinute = 60'000;
constexpr Millis kHour = 60 * kMinute;
constexpr Millis kDay = 24 * kHour;

Limit window(const std::string& rate_text) {
    Rate rate{};
    Limit limit{};
    EXPECT_EQ(parse_rate(rate_text, &rate), nullptr) << rate_text;
    EXPECT_EQ(make_limit(Algorithm::kSlidingWindow, rate, 0, 0, &limit), nullptr) << rate_text;
    return limit;
}

/** Returns the longest time after which a used amount comes back. */
Millis latest_return(const Limit& limit) {
    return limit.period_length / 8 * 9;
}

/** Every charge with its time. */
class Reference {
public:
    void add(Amount cost, Millis now) { charges_.push_back({now, cost, false}); }

    Millis last() const { return charges_.empty() ? 0 : charges_.back().time; }

    /** Returns what was used in the half-open interval (now - length, now]. */
    Amount used_within(Millis length, Millis now) const {
        Amount sum = 0;
        for (const Charge& charge : charges_) {
            sum += charge.time > now - length && charge.time <= now ? charge.cost : 0;
        }
        return sum;
    }

    /**
     * A window of this length was looked at: what is not in it may be forgotten for good, even
     * where the window becomes longer again.
     */
    void may_forget(Millis length, Millis now) {
        for (Charge& charge : charges_) {
            charge.forgotten |= charge.time <= now - length;
        }
    }

    Amount used_not_forgotten(Millis length, Millis now) const {
        Amount sum = 0;
        for (const Charge& charge : charges_) {
            sum += charge.time > now - length && !charge.forgotten ? charge.cost : 0;
        }
        return sum;
    }

    /** Checks all windows that end with a charge, which are those with most in them. */
    bool keeps_the_promise(const Limit& limit) const {
        return std::all_of(charges_.begin(), charges_.end(), [&](const Charge& charge) {
            return used_within(limit.period_length, charge.time) <= limit.capacity;
        });
    }

private:
    struct Charge {
        Millis time;
        Amount cost;
        bool forgotten;
    };

    std::vector<Charge> charges_;
};

struct Case {
    std::string rate;
    uint64_t seed;
    Limit limit;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
    return out << c.rate << " seed " << c.seed;
}

std::string random_rate(Random* random) {
    static constexpr const char* kPeriods[] = {"s",     "m",  "h",      "d",      "w",
                                               "month", "7s", "10s",    "15m",    "90m",
                                               "5h",    "3d", "2month", "12month"};
    static constexpr const char* kFixed[] = {
        "1r/month", "1000000r/s", "4294967295r/s", "4294967295t/12month", "1r/s", "2r/m", "9r/h"};
    if (random->one_in(3)) {
        return random->one_of(kFixed);
    }
    return std::to_string(random->scaled(random->one_in(2) ? 20 : 1'000'000)) + "r/" +
           random->one_of(kPeriods);
}

/** Rates from 1r/month to 1,000,000r/s and beyond, in all units of periods. */
Case random_case(uint64_t seed) {
    Random random(seed);
    const std::string rate = random_rate(&random);
    return {rate, seed, window(rate)};
}

/**
 * Returns the time to the next request: often about a sub-window or a period, to the millisecond.
 */
Millis random_step(Random* random, const Limit& limit) {
    const Millis sub_window = limit.period_length / 8;
    switch (random->below(7)) {
        case 0:
            return 0;
        case 1:
            return random->between(0, 20);
        case 2:
            return sub_window + random->between(-1, 1);
        case 3:
            return limit.period_length + random->between(-1, 1);
        case 4:
            return latest_return(limit) + random->between(-1, 1);
        default:
            return random->between(0, limit.period_length / 4);
    }
}

/** A clock that has run for up to eight years. */
Millis random_start(Random* random) {
    return static_cast<Millis>(random->scaled(uint64_t{1} << 38)) + 50;
}

TEST(SlidingWindow, PassesExactlyTheQuotaInOnePeriod) {
    LimitedKey two(window("2r/8s"));
    EXPECT_TRUE(two.pass(1, 16'000));
    EXPECT_TRUE(two.pass(1, 20'500));
    EXPECT_FALSE(two.pass(1, 20'500));
    EXPECT_FALSE(two.pass(1, 24'999));
    EXPECT_TRUE(two.pass(1, 25'000));  // sub-window 16 s to 17 s is a period ago from its end on
    EXPECT_FALSE(two.pass(1, 28'999));
    EXPECT_TRUE(two.pass(1, 29'000));
}

TEST(SlidingWindow, ReleasesTheLastUseAfterExactlyOnePeriod) {
    for (const Millis used_at : {8000, 8001, 8500, 8998, 8999}) {
        LimitedKey one(window("1r/8s"));
        EXPECT_TRUE(one.pass(1, used_at));
        EXPECT_EQ(one.wait_for(1, used_at), 8000);
        EXPECT_FALSE(one.pass(1, used_at + 8000 - 1));
        EXPECT_TRUE(one.pass(1, used_at + 8000));
    }
}

TEST(SlidingWindow, ReleasesOlderUseAPeriodAfterItsSubWindowEnds) {
    LimitedKey two(window("2r/8s"));
    EXPECT_TRUE(two.pass(1, 8000));
    EXPECT_TRUE(two.pass(1, 9000));
    EXPECT_EQ(two.wait_for(1, 9000), 8000);
    EXPECT_FALSE(two.pass(1, 8000 + 9000 - 1));
    EXPECT_TRUE(two.would_pass(2, 8000 + 9000));
}

TEST(SlidingWindow, NeverReportsMoreThanAMinuteForAMinute) {
    for (Millis used_at = kDay; used_at < kDay + kMinute; used_at += 7) {
        LimitedKey ten(window("10r/m"));
        EXPECT_TRUE(ten.pass(3, used_at - kMinute / 2));
        EXPECT_TRUE(ten.pass(7, used_at));
        ASSERT_EQ(ten.wait_for(10, used_at), kMinute);
        ASSERT_LE(ten.wait_for(1, used_at), kMinute);
    }
}

TEST(SlidingWindow, StartsEmptyEvenAtTheClocksZero) {
    LimitedKey one(window("1r/8s"));
    EXPECT_TRUE(one.pass(1, 0));
    EXPECT_FALSE(one.pass(1, 7999));
    EXPECT_TRUE(one.pass(1, 8000));
}

TEST(SlidingWindow, KeepsWhatIsUsedWhileAClockThatSteppedBackCatchesUp) {
    LimitedKey two(window("2r/8s"));
    EXPECT_TRUE(two.pass(1, kDay));
    EXPECT_TRUE(two.pass(1, kDay - kHour));
    EXPECT_FALSE(two.pass(1, 0));
    EXPECT_EQ(two.wait_for(1, kDay - 1000), 8000);  // from the latest charge
    EXPECT_FALSE(two.would_pass(1, kDay + 7999));
    EXPECT_TRUE(two.would_pass(2, kDay + 8000));
}

TEST(SlidingWindow, RefusesEverythingAtARateOfZero) {
    LimitedKey none(window("0r/h"));
    EXPECT_FALSE(none.pass(1, 0));
    EXPECT_FALSE(none.pass(1, 1000 * kDay));
}

TEST(SlidingWindow, HoldsTheLargestQuota) {
    LimitedKey largest(window("4294967295t/8s"));
    EXPECT_TRUE(largest.pass(kMaxSlidingQuota - 1, 8000));
    EXPECT_TRUE(largest.pass(1, 12'000));
    EXPECT_FALSE(largest.pass(1, 15'000));
    EXPECT_EQ(largest.used_at(15'000), kMaxSlidingQuota);
}

TEST(SlidingWindow, KeepsTheUseOfAShorterPeriodInALongerOne) {
    LimitedKey changed(window("100r/h"));
    EXPECT_TRUE(changed.pass(100, 10 * kHour));
    changed.change(window("500r/d"));
    EXPECT_TRUE(changed.pass(400, 10 * kHour + 1));
    EXPECT_FALSE(changed.would_pass(1, 34 * kHour));
    EXPECT_TRUE(changed.would_pass(500, 34 * kHour + 1));
}

TEST(SlidingWindow, KeepsWhatWasUsedWithinAShorterPeriod) {
    LimitedKey changed(window("500r/d"));
    EXPECT_TRUE(changed.pass(60, 10 * kHour));
    changed.change(window("100r/h"));
    EXPECT_FALSE(changed.would_pass(41, 10 * kHour + 30 * kMinute));
    EXPECT_TRUE(changed.would_pass(40, 10 * kHour + 30 * kMinute));
}

TEST(SlidingWindow, CountsNeverWrapWhenPeriodsChange) {
    LimitedKey changed(window("4294967295t/8s"));
    for (Millis now = 8000; now < 16'000; now += 1000) {
        EXPECT_TRUE(changed.pass(kMaxSlidingQuota / 8, now));
    }
    EXPECT_TRUE(changed.pass(kMaxSlidingQuota % 8, 15'999));
    changed.change(window("4294967295t/d"));  // all of it in one sub-window
    EXPECT_EQ(changed.used_at(15'999), kMaxSlidingQuota);
    EXPECT_FALSE(changed.would_pass(1, 15'999));
}

TEST(SlidingWindowProperty, NeverPassesMoreThanTheQuotaAndRecoversAfterNineEighths) {
    int at_the_edge = 0;
    for (uint64_t seed = 0; seed < 3000; ++seed) {
        const Case c = random_case(seed);
        Random random(seed + 1'000'000);
        LimitedKey tested(c.limit);
        Reference reference;
        Millis now = random_start(&random);
        for (int i = 0; i < 200; ++i) {
            now += random_step(&random, c.limit);
            const Amount cost = random_cost(&random, c.limit);
            const Amount most = reference.used_within(latest_return(c.limit), now);
            const Amount least = reference.used_within(c.limit.period_length, now);
            const bool passed = tested.pass(cost, now);
            if (fits(c.limit, most, cost)) {
                ASSERT_TRUE(passed)
                    << c << ", request " << i << ", cost " << cost << " beside " << most;
            }
            if (!fits(c.limit, least, cost)) {
                ASSERT_FALSE(passed)
                    << c << ", request " << i << ", cost " << cost << " beside " << least;
                ++at_the_edge;
            }
            if (passed) {
                reference.add(cost, now);
            }
        }
        ASSERT_TRUE(reference.keeps_the_promise(c.limit)) << c;
    }
    EXPECT_GT(at_the_edge, 10'000);
}

TEST(SlidingWindowProperty, CountsEachSubWindowUntilItIsAPeriodAgo) {
    for (uint64_t seed = 0; seed < 3000; ++seed) {
        const Case c = random_case(seed);
        Random random(seed + 2'000'000);
        LimitedKey tested(c.limit);
        const Millis sub_window = c.limit.period_length / 8;
        std::vector<std::pair<Millis, Amount>> charges;  // number of the sub-window, how much
        Millis last = 0;
        Millis now = random_start(&random);
        for (int i = 0; i < 100; ++i) {
            now += random_step(&random, c.limit);
            if (random.one_in(4)) {
                tested.look(now);
            }
            Amount expected = 0;
            for (auto& [number, cost] : charges) {
                const bool is_newest = number == last / sub_window;
                const Millis leaves = is_newest ? last + 8 * sub_window : (number + 9) * sub_window;
                cost = leaves > now ? cost : 0;  // for good
                expected += cost;
            }
            ASSERT_EQ(tested.used_at(now), expected) << c << ", request " << i;
            const Amount cost = random_cost(&random, c.limit);
            if (tested.pass(cost, now) && cost != 0) {
                charges.emplace_back(now / sub_window, cost);
                last = now;
            }
        }
    }
}

TEST(SlidingWindowProperty, GivesTheExactWaitAndAtMostThePeriod) {
    int refusals = 0;
    int longest = 0;
    for (uint64_t seed = 0; seed < 3000; ++seed) {
        const Case c = random_case(seed);
        Random random(seed + 3'000'000);
        LimitedKey tested(c.limit);
        Millis now = random_start(&random);
        Millis last = 0;
        for (int i = 0; i < 100; ++i) {
            now += random_step(&random, c.limit);
            const Millis asked = now - random.between(0, 50);
            const Amount cost = std::min(random_cost(&random, c.limit), c.limit.capacity);
            if (tested.pass(cost, asked)) {
                last = cost != 0 ? std::max(last, asked) : last;
                continue;
            }
            ++refusals;
            const Millis wait = tested.wait_for(cost, asked);
            ASSERT_GT(wait, 0) << c;
            ASSERT_LE(wait, c.limit.period_length) << c;
            longest += wait == c.limit.period_length;
            // A whole period counts from the last charge, which a clock that is ahead has made.
            const Millis from = wait == c.limit.period_length ? std::max(asked, last) : asked;
            ASSERT_FALSE(tested.would_pass(cost, asked + wait - 1)) << c << ", cost " << cost;
            ASSERT_TRUE(tested.would_pass(cost, from + wait)) << c << ", cost " << cost;
            if (random.one_in(2)) {
                now = from + wait;
            }
        }
    }
    EXPECT_GT(refusals, 20'000);
    EXPECT_GT(longest, 1000);
}

TEST(SlidingWindowProperty, NeverPassesMoreWithClocksThatDifferOrStepBack) {
    static constexpr Millis kStepsBack[] = {1, 999, 5000, kMinute, kDay, 30 * kDay};
    for (uint64_t seed = 0; seed < 3000; ++seed) {
        const Case c = random_case(seed);
        Random random(seed + 4'000'000);
        LimitedKey tested(c.limit);
        Reference reference;
        Millis clock = random_start(&random);
        const uint64_t rarely = seed % 2 == 0 ? 10 : 1'000'000;
        for (int i = 0; i < 200; ++i) {
            clock += random_step(&random, c.limit);
            if (random.one_in(rarely)) {
                clock = std::max(Millis{50}, clock - random.one_of(kStepsBack));
            }
            const Millis now = clock - random.between(0, 50);
            const Millis latest = std::max(now, reference.last());
            const Amount cost = random_cost(&random, c.limit);
            const Amount most = reference.used_within(latest_return(c.limit), latest);
            const bool passed = tested.pass(cost, now);
            if (fits(c.limit, most, cost)) {
                ASSERT_TRUE(passed)
                    << c << ", request " << i << ", cost " << cost << " beside " << most;
            }
            if (passed && cost != 0) {
                reference.add(cost, latest);
            }
        }
        ASSERT_TRUE(reference.keeps_the_promise(c.limit)) << c;
    }
}

TEST(SlidingWindowProperty, ForgetsNothingThatCountsWhenThePeriodChanges) {
    for (uint64_t seed = 0; seed < 3000; ++seed) {
        Random random(seed + 5'000'000);
        const std::string rates[] = {random_rate(&random), random_rate(&random), "100r/h",
                                     "500r/d"};
        std::string rate = rates[0];
        Limit limit = window(rate);
        LimitedKey tested(limit);
        Reference reference;
        Millis now = random_start(&random);
        Millis changed = 0;
        const uint64_t rarely = 1 + random.below(30);
        for (int i = 0; i < 200; ++i) {
            now += random_step(&random, limit);
            if (random.one_in(rarely)) {
                rate = random.one_of(rates);
                limit = window(rate);
                tested.change(limit);
                tested.look(now);
                reference.may_forget(limit.period_length, now);
                changed = now;
            }
            const Amount cost = random_cost(&random, limit);
            const Amount least = reference.used_not_forgotten(limit.period_length, now);
            // An amount used before a change counts as if it had been used then, at the latest.
            Amount most = reference.used_within(latest_return(limit), now);
            most = now >= changed + latest_return(limit) ? most : kMaxAmount;
            const bool passed = tested.pass(cost, now);
            if (!fits(limit, least, cost)) {
                ASSERT_FALSE(passed) << rate << " seed " << seed << ", request " << i << ", cost "
                                     << cost << " beside " << least;
            }
            if (fits(limit, most, cost)) {
                ASSERT_TRUE(passed) << rate << " seed " << seed << ", request " << i << ", cost "
                                    << cost << " beside " << most;
            }
            if (passed) {
                reference.add(cost, now);
                reference.may_forget(limit.period_length, now);
            }
        }
    }
}

TEST(SlidingWindowProperty, KeepsWhatWasUsedWithinBothPeriodsOverAChange) {
    for (uint64_t seed = 0; seed < 3000; ++seed) {
        Random random(seed + 6'000'000);
        const Case before = random_case(seed);
        const Limit after = window(random_rate(&random));
        LimitedKey tested(before.limit);
        Reference reference;
        Millis now = random_start(&random);
        for (int i = 0; i < 50; ++i) {
            now += random_step(&random, before.limit) / 4;
            const Amount cost = random_cost(&random, before.limit);
            if (tested.pass(cost, now)) {
                reference.add(cost, now);
            }
        }
        tested.change(after);
        const Millis both = std::min(before.limit.period_length, after.period_length);
        const Amount used_in_both = reference.used_within(both, now);
        ASSERT_GE(tested.used_at(now), used_in_both) << before << " to /" << after.period_length;
    }
}

}  // namespace
}  // namespace ai_limit
