#include "core/limits/token_bucket.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "core/limits/algorithm.h"
#include "core/limits/rate.h"
#include "limited_key.h"
#include "random.h"

namespace ai_limit {
namespace {

__extension__ typedef __int128 Exact;

constexpr Millis kMinute = 60'000;
constexpr Millis kDay = 24 * 60 * kMinute;
constexpr Millis kMonth = 30 * kDay;
constexpr Millis kYear = 366 * kDay;

/** Waits are cut to this, 73 million years. */
constexpr Millis kCutOff = Millis{1} << 61;

Limit bucket(const std::string& rate_text, Amount burst = 0) {
    Rate rate{};
    const char* error = parse_rate(rate_text, &rate);
    EXPECT_EQ(error, nullptr) << rate_text;
    return token_bucket_limit(rate, burst);
}

/**
 * Finds what the bucket must do from the list of all charges alone: nothing is carried from one
 * question to the next. All amounts are in parts, refill_millis of which are one.
 */
class Reference {
public:
    explicit Reference(const Limit& limit)
        : refill_(static_cast<Exact>(limit.refill_amount)),
          one_(static_cast<Exact>(limit.refill_millis)),
          capacity_(static_cast<Exact>(limit.capacity)) {}

    /**
     * Returns what is missing at `now`: all charges since the one that found the bucket full, less
     * what has come back from then on. The difference is largest for the charge that found it full.
     */
    Exact missing(Millis now) const {
        Exact sum = 0;
        Exact most = 0;
        for (size_t i = charges_.size(); i-- > 0;) {
            sum += charges_[i].cost * one_;
            most = std::max(most, sum - refill_ * (now - charges_[i].time));
        }
        return most;
    }

    bool fits(Amount cost, Millis now) const {
        return missing(now) + static_cast<Exact>(cost) * one_ <= capacity_ * one_;
    }

    void add(Amount cost, Millis now) { charges_.push_back({now, static_cast<Exact>(cost)}); }

    Millis last() const { return charges_.empty() ? 0 : charges_.back().time; }

    /**
     * Checks every interval that begins and ends with a charge: never more than burst + rate * T.
     */
    bool keeps_the_promise() const {
        for (size_t i = 0; i < charges_.size(); ++i) {
            Exact sum = 0;
            for (size_t j = i; j < charges_.size(); ++j) {
                sum += charges_[j].cost;
                const Millis length = charges_[j].time - charges_[i].time;
                if (length < 0 || (sum - capacity_) * one_ > refill_ * length) {
                    return false;
                }
            }
        }
        return true;
    }

private:
    struct Charge {
        Millis time;
        Exact cost;
    };

    Exact refill_;
    Exact one_;
    Exact capacity_;
    std::vector<Charge> charges_;
};

struct Case {
    std::string rate;
    Amount burst;
    uint64_t seed;
    Limit limit;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
    return out << c.rate << " burst=" << c.limit.capacity << " seed " << c.seed;
}

/** Rates from 1r/month to 1,000,000r/s, in all units of periods. */
Case random_case(uint64_t seed) {
    static constexpr const char* kPeriods[] = {"s",   "m",   "h",   "d",  "w",  "month", "7s",
                                               "10s", "15m", "90m", "5h", "3d", "2w",    "month"};
    static constexpr const char* kFixed[] = {
        "1r/month",     "1000000r/s",       "1Mr/s",    "0.5r/s",   "60r/m",   "1r/m",
        "999999r/d",    "7r/month",         "0.333r/s", "1.001r/h", "2Mt/d",   "86399r/d",
        "1000Gt/month", "999999.999999t/s", "1Gt/s",    "3r/7s",    "1r/month"};
    Random random(seed);
    Case c;
    Rate rate{};
    do {
        c.rate = random.one_in(3)
                     ? random.one_of(kFixed)
                     : std::to_string(random.scaled(1'000'000)) +
                           (random.one_in(4) ? "." + std::to_string(random.below(100)) : "") +
                           "r/" + random.one_of(kPeriods);
    } while (parse_rate(c.rate, &rate) != nullptr);  // too many digits for a long period
    c.burst = random.one_in(3)   ? 0
              : random.one_in(2) ? random.scaled(30)
                                 : random.scaled(kMaxAmount);
    c.seed = seed;
    c.limit = bucket(c.rate, c.burst);
    if (c.limit.fills_in >= Millis{1} << 35) {
        c.limit = bucket(c.rate, 1);  // a bucket tells times apart for eight years
    }
    return c;
}

/**
 * Returns the time to the next request: nothing, a few milliseconds, about one refill, about a full
 * bucket.
 */
Millis random_step(Random* random, const Limit& limit) {
    const Millis refill = static_cast<Millis>(limit.refill_millis / limit.refill_amount) + 1;
    const auto up_to = [random](Millis length) {
        return static_cast<Millis>(random->scaled(static_cast<uint64_t>(std::min(length, kYear))));
    };
    switch (random->below(5)) {
        case 0:
            return 0;
        case 1:
            return random->between(0, 20);
        case 2:
            return std::max(Millis{0}, refill - random->between(0, 2));
        case 3:
            return up_to(4 * refill);
        default:
            return up_to(limit.fills_in + 2);
    }
}

TEST(TokenBucket, PassesTheBurstAndThenOneEveryRefill) {
    LimitedKey bucket_of_three(bucket("60r/m", 3));
    const Millis start = 123'456;
    for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(bucket_of_three.pass(1, start));
    }
    EXPECT_FALSE(bucket_of_three.pass(1, start));
    EXPECT_FALSE(bucket_of_three.pass(1, start + 999));
    EXPECT_TRUE(bucket_of_three.pass(1, start + 1000));
    EXPECT_FALSE(bucket_of_three.pass(1, start + 1999));
    EXPECT_TRUE(bucket_of_three.pass(1, start + 2000));
}

TEST(TokenBucket, RefillsOneAMinuteAfterExactlySixtySeconds) {
    LimitedKey one(bucket("1r/m"));
    EXPECT_TRUE(one.pass(1, 5));
    EXPECT_FALSE(one.pass(1, 60'004));
    EXPECT_TRUE(one.pass(1, 60'005));
}

TEST(TokenBucket, StartsFullEvenAtTheClocksZero) {
    LimitedKey one(bucket("1r/month"));
    EXPECT_TRUE(one.pass(1, 0));
    EXPECT_FALSE(one.pass(1, kMonth - 1));
    EXPECT_TRUE(one.pass(1, kMonth));
}

TEST(TokenBucket, LosesNothingByLookingEveryMillisecond) {
    LimitedKey looked_at(bucket("0.7r/s", 1));
    EXPECT_TRUE(looked_at.pass(1, 1000));
    const Millis back = 1000 + 1429;  // 1428.57 ms, rounded up
    for (Millis now = 1001; now < back; ++now) {
        looked_at.look(now);
        ASSERT_FALSE(looked_at.would_pass(1, now)) << now;
    }
    EXPECT_TRUE(looked_at.would_pass(1, back));
}

TEST(TokenBucket, ChangesNothingWhenTheClockStepsBack) {
    LimitedKey two(bucket("1r/m", 2));
    EXPECT_TRUE(two.pass(1, kDay));
    EXPECT_TRUE(two.pass(1, kDay - 3'600'000));
    EXPECT_FALSE(two.would_pass(1, 0));
    EXPECT_EQ(two.wait_for(1, kDay - 1000), 61'000);
    EXPECT_FALSE(two.would_pass(1, kDay + kMinute - 1));
    EXPECT_TRUE(two.would_pass(1, kDay + kMinute));
}

TEST(TokenBucket, NeverRefillsAtARateOfZero) {
    const Limit none = bucket("0r/m", 5);
    EXPECT_EQ(none.capacity, 0U);
    LimitedKey empty(none);
    for (const Millis now : {Millis{0}, Millis{1}, kMonth, 1000 * kMonth}) {
        EXPECT_FALSE(empty.pass(1, now));
        EXPECT_EQ(empty.left(now), 0U);
    }
}

TEST(TokenBucket, GivesTheDifferenceOfALargerBurstAtOnce) {
    LimitedKey changed(bucket("1r/m", 2));
    EXPECT_TRUE(changed.pass(2, 1000));
    changed.change(bucket("1r/m", 5));
    EXPECT_FALSE(changed.would_pass(4, 1000));
    EXPECT_TRUE(changed.pass(3, 1000));
}

TEST(TokenBucket, KeepsWhatIsMissingWhenTheBurstShrinks) {
    LimitedKey changed(bucket("1r/m", 10));
    EXPECT_TRUE(changed.pass(10, 1000));
    changed.change(bucket("1r/m", 2));
    EXPECT_EQ(changed.wait_for(1, 1000), 9 * kMinute);
    EXPECT_FALSE(changed.would_pass(1, 1000 + 9 * kMinute - 1));
    EXPECT_TRUE(changed.would_pass(1, 1000 + 9 * kMinute));
}

TEST(TokenBucket, RefundsLessThanOneWhenTheRateChanges) {
    static constexpr const char* kRates[] = {"1r/month", "1r/s", "999999r/d",
                                             "1000r/s",  "7r/h", "1Mr/s"};
    for (uint64_t seed = 0; seed < 2000; ++seed) {
        Random random(seed);
        const Amount burst = 1'000'000;
        LimitedKey changed(bucket(random.one_of(kRates), burst));
        Millis now = static_cast<Millis>(random.scaled(1'000'000'000));
        ASSERT_TRUE(changed.pass(burst, now)) << "seed " << seed;
        now += static_cast<Millis>(random.scaled(100'000));
        changed.look(now);
        const Amount before = changed.left(now);
        const std::string rate = random.one_of(kRates);
        const Limit limit = bucket(rate, burst);
        changed.change(limit);
        EXPECT_EQ(changed.left(now), before) << "seed " << seed;
        // Less than one was coming back under any rate, and a millisecond gives its part.
        const Amount more = changed.left(now + 1) - before;
        EXPECT_LT(more * limit.refill_millis, limit.refill_millis + limit.refill_amount)
            << rate << " seed " << seed;
    }
}

TEST(TokenBucketProperty, MatchesTheReferenceToTheMillisecond) {
    for (uint64_t seed = 0; seed < 3000; ++seed) {
        const Case c = random_case(seed);
        Random random(seed + 1'000'000);
        LimitedKey tested(c.limit);
        Reference reference(c.limit);
        const Millis start = static_cast<Millis>(random.scaled(uint64_t{1} << 36));
        Millis now = start;
        int passed = 0;
        for (int i = 0; i < 120; ++i) {
            now += random_step(&random, c.limit);
            const Amount cost = random_cost(&random, c.limit);
            if (random.one_in(4)) {
                tested.look(now);
            }
            const bool expected = reference.fits(cost, now);
            ASSERT_EQ(tested.pass(cost, now), expected)
                << c << ", cost " << cost << " at start + " << now - start;
            if (expected) {
                passed += cost > 0;
                reference.add(cost, now);
            }
        }
        ASSERT_GT(passed, 0) << c;
        ASSERT_TRUE(reference.keeps_the_promise()) << c;
    }
}

TEST(TokenBucketProperty, GivesTheExactWait) {
    int refusals = 0;
    for (uint64_t seed = 0; seed < 3000; ++seed) {
        const Case c = random_case(seed);
        Random random(seed + 2'000'000);
        LimitedKey tested(c.limit);
        Reference reference(c.limit);
        Millis now = static_cast<Millis>(random.scaled(uint64_t{1} << 36));
        for (int i = 0; i < 60; ++i) {
            now += random_step(&random, c.limit);
            const Millis asked = std::max(Millis{0}, now - random.between(0, 50));
            const Amount cost = std::min(random_cost(&random, c.limit), c.limit.capacity);
            if (tested.pass(cost, asked)) {
                reference.add(cost, std::max(asked, reference.last()));
                continue;
            }
            ++refusals;
            const Millis wait = tested.wait_for(cost, asked);
            ASSERT_GT(wait, 0) << c;
            if (wait >= kCutOff) {
                continue;
            }
            ASSERT_FALSE(tested.would_pass(cost, asked + wait - 1)) << c << ", cost " << cost;
            ASSERT_TRUE(tested.would_pass(cost, asked + wait)) << c << ", cost " << cost;
            const Millis last = reference.last();
            ASSERT_FALSE(reference.fits(cost, std::max(last, asked + wait - 1))) << c;
            ASSERT_TRUE(reference.fits(cost, std::max(last, asked + wait))) << c;
            if (wait <= kYear && random.one_in(2)) {  // a state's time has 42 bits, 139 years
                now = asked + wait;
            }
        }
    }
    EXPECT_GT(refusals, 20'000);
}

TEST(TokenBucketProperty, NeverPassesMoreWithWorkersWhoseClocksDiffer) {
    for (uint64_t seed = 0; seed < 2000; ++seed) {
        const Case c = random_case(seed);
        Random random(seed + 3'000'000);
        LimitedKey tested(c.limit);
        Reference reference(c.limit);
        Millis clock = static_cast<Millis>(random.scaled(uint64_t{1} << 36)) + 50;
        for (int i = 0; i < 120; ++i) {
            clock += random_step(&random, c.limit);
            const Millis now = clock - random.between(0, 50);
            const Millis latest = std::max(now, reference.last());
            const Amount cost = random_cost(&random, c.limit);
            const bool expected = reference.fits(cost, latest);
            ASSERT_EQ(tested.pass(cost, now), expected) << c << ", request " << i;
            if (expected) {
                reference.add(cost, latest);
            }
        }
        ASSERT_TRUE(reference.keeps_the_promise()) << c;
    }
}

TEST(TokenBucketProperty, NeverPassesMoreWithAClockThatStepsBack) {
    static constexpr Millis kStepsBack[] = {1, 999, 5000, 60'000, kDay, 30 * kDay};
    for (uint64_t seed = 0; seed < 2000; ++seed) {
        const Case c = random_case(seed);
        Random random(seed + 4'000'000);
        LimitedKey tested(c.limit);
        Reference reference(c.limit);
        Millis now = static_cast<Millis>(random.scaled(uint64_t{1} << 36));
        Millis latest = 0;  // of what the bucket has seen: a refusal leaves no trace
        for (int i = 0; i < 120; ++i) {
            now += random_step(&random, c.limit);
            if (random.one_in(10)) {
                now = std::max(Millis{0}, now - random.one_of(kStepsBack));
            }
            if (random.one_in(10)) {
                tested.look(now);
                latest = std::max(latest, now);
            }
            const Amount cost = random_cost(&random, c.limit);
            const bool expected = reference.fits(cost, std::max(latest, now));
            ASSERT_EQ(tested.pass(cost, now), expected) << c << ", request " << i;
            if (expected) {
                latest = std::max(latest, now);
                reference.add(cost, latest);
            }
        }
        ASSERT_TRUE(reference.keeps_the_promise()) << c;
    }
}

struct LongRun {
    const char* rate;
    Amount burst;
    Millis length;
    Amount per_length;  // what comes back in it
};

void PrintTo(const LongRun& run, std::ostream* out) {
    *out << run.rate << " burst=" << run.burst;
}

class TokenBucketOverAMonth : public testing::TestWithParam<LongRun> {};

TEST_P(TokenBucketOverAMonth, PassesExactlyTheBurstAndTheRefill) {
    const LongRun& run = GetParam();
    const Limit limit = bucket(run.rate, run.burst);
    Random random(7);
    LimitedKey tested(limit);
    const Millis start = 987'654'321;
    Amount total = 0;
    // Takes all that is there, at odd moments, but never so late that the bucket is full and loses
    // some.
    const Millis whole = limit.refill_amount == 1 ? 1 : 0;  // full at a whole millisecond
    Millis step = 0;
    for (Millis now = start; now < start + run.length; now += step) {
        const Amount left = tested.left(now);
        total += left;
        ASSERT_TRUE(tested.pass(left, now));
        ASSERT_FALSE(tested.pass(1, now));
        const Millis full = tested.wait_for(limit.capacity, now) - 1 + whole;
        step = random.between(1, std::min(full, run.length / 500));
    }
    total += tested.left(start + run.length - 1);
    ASSERT_TRUE(tested.pass(tested.left(start + run.length - 1), start + run.length - 1));
    EXPECT_LT(total, run.burst + run.per_length);
    total += tested.left(start + run.length);
    EXPECT_EQ(total, run.burst + run.per_length);
}

INSTANTIATE_TEST_SUITE_P(
    TokenBucket, TokenBucketOverAMonth,
    testing::Values(LongRun{"1r/month", 1, kMonth, 1}, LongRun{"1r/month", 1, 12 * kMonth, 12},
                    LongRun{"1r/month", 5, 12 * kMonth, 12}, LongRun{"7r/month", 7, kMonth, 7},
                    LongRun{"1r/m", 1, kMonth, 43'200}, LongRun{"0.7r/s", 2, 10 * kDay, 604'800},
                    LongRun{"999999r/d", 999'999, 30 * kDay, 29'999'970},
                    LongRun{"1000000r/s", 1'000'000, kDay / 24, 3'600'000'000},
                    LongRun{"1000000r/s", 1'000'000'000, kMonth, 2'592'000'000'000},
                    LongRun{"999999.999999t/s", kMaxAmount, 60'000'000'000, 59'999'999'999'940},
                    LongRun{"1Gt/s", kMaxAmount, kDay, 86'400'000'000'000},
                    LongRun{"1000Gt/s", kMaxAmount, 3'600'000, 3'600'000'000'000'000}));

TEST(TokenBucket, LosesNoneOneByOneAtAMillionASecond) {
    LimitedKey tested(bucket("1000000r/s", 1000));
    Amount passed = 0;
    for (Millis now = 1; now <= 1000; ++now) {
        while (tested.pass(1, now)) {
            ++passed;
        }
    }
    EXPECT_EQ(passed, 1'000'000U);  // the burst, and 999 ms of 1000 each
}

TEST(TokenBucket, PassesTwelveInAYearOfMonthsByRetryingAtEachWait) {
    LimitedKey tested(bucket("1r/month"));
    Millis now = 42;
    ASSERT_TRUE(tested.pass(1, now));
    for (int month = 1; month <= 12; ++month) {
        now += tested.wait_for(1, now);
        ASSERT_EQ(now, 42 + month * kMonth);
        ASSERT_TRUE(tested.pass(1, now));
    }
}

}  // namespace
}  // namespace ai_limit
