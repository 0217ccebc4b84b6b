// Tests what a zone knows of its policies: over reloads, and of the limits that variables hold.

#include "core/policies/policies.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/carry/migration.h"
#include "core/policies/overrides.h"
#include "random.h"
#include "zone_memory.h"

namespace ai_limit {
namespace {

constexpr Now kNow{1'000'000'000, 1'755'780'000'000};
constexpr Millis kMinute = 60'000;
constexpr Millis kDay = 24 * 60 * kMinute;

constexpr Now later(Millis millis) {
    return {kNow.monotonic + millis, kNow.wall + millis};
}

Limit bucket(const std::string& rate, Amount burst = 0) {
    return limit_of_rate(Algorithm::kTokenBucket, rate.c_str(), burst);
}

class ZoneOfPolicies : public testing::Test {
protected:
    ZonePolicy add(const char* name, const Limit& limit, bool varies = false) {
        return add_policy(memory.zone(), name, limit, varies);
    }

    /** Notes another limit of the policy, which a variable holds. */
    ZonePolicy note(const ZonePolicy& policy, Limit limit) {
        note_limit(memory.zone(), policy.number, &limit);
        return {policy.number, limit};
    }

    const Limit& find(const ZonePolicy& policy) const {
        return find_limit(memory.zone(), policy.number, policy.limit.number);
    }

    ZoneMemory memory{{64, 64, 4}};
    ZoneUser user{memory.zone(), &kAllAlive, 1};
};

// --- limits

class PolicyLimits : public ZoneOfPolicies {};

TEST_F(PolicyLimits, AreFoundByTheirNumber) {
    const ZonePolicy policy = add("p", bucket("1r/s", 1), true);
    std::vector<ZonePolicy> limits;
    for (Amount i = 1; i < kMaxKnownLimits; ++i) {
        limits.push_back(note(policy, bucket("10r/m", i)));
    }
    for (size_t i = 0; i < limits.size(); ++i) {
        EXPECT_NE(limits[i].limit.number, 0u);
        EXPECT_EQ(find(limits[i]).capacity, i + 1);
        EXPECT_EQ(find(limits[i]).number, limits[i].limit.number);
        EXPECT_EQ(find(limits[i]).rate_number, limits[i].limit.rate_number);
        EXPECT_EQ(note(policy, bucket("10r/m", i + 1)).limit.number, limits[i].limit.number);
    }
}

TEST_F(PolicyLimits, TreatOneTooManyAsTheSlowest) {
    const ZonePolicy policy = add("p", bucket("1r/s", 1), true);
    note(policy, bucket("10r/d"));
    for (Amount i = 1; i < kMaxKnownLimits; ++i) {
        note(policy, bucket("10r/m", i));
    }
    const ZonePolicy last = note(policy, bucket("77r/m"));
    EXPECT_EQ(last.limit.number, 0u);
    EXPECT_EQ(find(last).fills_in, bucket("10r/d").fills_in);
    EXPECT_NE(find(last).rate_number, 0u) << "its own";
}

TEST_F(PolicyLimits, AreDistinguishedByEverythingThatDecides) {
    const Limit limits[] = {bucket("10r/m"),
                            bucket("10t/m"),
                            bucket("10r/m", 9),
                            bucket("20r/m", 10),
                            bucket("10r/2m"),
                            limit_of_rate(Algorithm::kFixedWindow, "10r/30d"),
                            limit_of_rate(Algorithm::kFixedWindow, "10r/month")};
    const ZonePolicy policy = add("p", bucket("1r/s", 1), true);
    std::vector<uint8_t> numbers;
    for (const Limit& limit : limits) {
        numbers.push_back(note(policy, limit).limit.number);
        Limit elsewhere = limit;
        elsewhere.time_zone = 9 * 60 * kMinute;
        numbers.push_back(note(policy, elsewhere).limit.number);
    }
    for (size_t i = 0; i < numbers.size(); ++i) {
        EXPECT_EQ(numbers[i], i + 2) << "after the one that stood in";
    }
}

TEST_F(PolicyLimits, AreExactHoweverManyThereAre) {
    const ZonePolicy policy = add("p", bucket("1r/s", 1), true);
    // Each comes back in other fractions of a millisecond, all in 60,000ths of one.
    const int rates[] = {7,  11, 13, 17, 19, 23, 29, 31, 37, 41, 43,
                         47, 49, 53, 59, 61, 67, 71, 73, 77, 79, 83};
    ZonePolicy last{};
    for (const int rate : rates) {
        last = note(policy, bucket(std::to_string(rate) + "r/m"));
    }
    uint64_t passed = 0;
    for (Millis time = 0; time <= 10 * kMinute; time += 100) {
        passed += Request(user).charge(last, 42).admit(later(time)) ? 1 : 0;
    }
    EXPECT_EQ(passed, 83u + 10 * 83u);
}

TEST_F(PolicyLimits, AreExactHoweverManyPeriodsTheyHave) {
    const ZonePolicy policy = add("p", bucket("1r/s", 1), true);
    ZonePolicy last{};
    for (int seconds = 61; seconds < 100; ++seconds) {
        last = note(policy, bucket("17r/" + std::to_string(seconds) + "s"));
    }
    uint64_t passed = 0;
    for (Millis time = 0; time <= 990'000; time += 50) {
        passed += Request(user).charge(last, 42).admit(later(time)) ? 1 : 0;
    }
    EXPECT_EQ(passed, 17u + 10 * 17u);
}

TEST_F(PolicyLimits, LoseNothingWhenAKeyChangesBetweenThem) {
    const ZonePolicy policy = add("p", bucket("1r/s", 1), true);
    // About as quick as each other, in parts of a millisecond that have nothing in common.
    const ZonePolicy one = note(policy, bucket("7r/m", 7));
    const ZonePolicy other = note(policy, bucket("7.000001r/m", 7));
    uint64_t passed = 0;
    for (Millis time = 0; time < 100 * kMinute; time += 50) {
        passed +=
            Request(user).charge(passed % 2 != 0 ? one : other, 42).admit(later(time)) ? 1 : 0;
    }
    EXPECT_GE(passed, 7u + 100 * 7u - 1);
    EXPECT_LE(passed, 7u + 100 * 7u + 1);
}

TEST(TokenBucket, RestoresThePartsOfAFraction) {
    Random random(7);
    for (int i = 0; i < 200'000; ++i) {
        Limit limit{};
        limit.refill_millis = random.one_in(3) ? kMaxRefillMillis - random.scaled(1000)
                                               : random.scaled(kMaxRefillMillis - 1);
        uint64_t parts =
            random.one_in(4) ? limit.refill_millis - 1 : random.below(limit.refill_millis);
        token_bucket::Level level{};
        level.fraction = token_bucket::to_fraction(parts, limit.refill_millis);
        ASSERT_LT(level.fraction, uint64_t{1} << token_bucket::kFractionBits);
        ASSERT_EQ(token_bucket::parts_of(limit, level), parts) << "of " << limit.refill_millis;
    }
}

TEST_F(PolicyLimits, ShareTheRefilledFractionIfTheyRefillAlike) {
    const ZonePolicy policy = add("p", bucket("1r/s", 1), true);
    const ZonePolicy less = note(policy, bucket("1r/m", 5));
    const ZonePolicy more = note(policy, bucket("1r/m", 10));
    ASSERT_TRUE(Request(user).charge(less, 42, 5).admit(kNow));
    ASSERT_TRUE(Request(user).charge(more, 42, 5).admit(later(kMinute / 2)));
    EXPECT_FALSE(Request(user).charge(more, 42).admit(later(kMinute - 1)));
    EXPECT_TRUE(Request(user).charge(more, 42).admit(later(kMinute)));
}

// --- over reloads

class Reload : public ZoneOfPolicies {};

TEST_F(Reload, KeepsThePolicyWhenItsLimitBecomesAVariableOrAConstant) {
    const uint32_t number = add("p", bucket("10t/m")).number;
    EXPECT_EQ(add("p", bucket("1r/s", 1), true).number, number);
    EXPECT_EQ(add("p", bucket("1r/s", 1), true).number, number);
    EXPECT_EQ(add("p", bucket("20t/m")).number, number);
    EXPECT_EQ(add("p", bucket("30t/m")).number, number);
}

TEST_F(Reload, StartsAtZeroIfAPolicyCountsTokensNow) {
    const ZonePolicy requests = add("p", bucket("10r/m"));
    ASSERT_TRUE(Request(user).charge(requests, 42, 10).admit(kNow));
    const TokenPolicy tokens = add_token_policy(memory.zone(), "p", bucket("10t/m"));
    EXPECT_NE(tokens.used.number, requests.number);
    EXPECT_NE(tokens.held.number, requests.number);
    EXPECT_NE(tokens.held.number, tokens.used.number);
    Request request(user);
    EXPECT_TRUE(request.charge_tokens(tokens, 42, 10).admit(kNow));
    EXPECT_EQ(look(user, requests, 42, kNow), 10u);
    EXPECT_EQ(add("p", bucket("99r/m")).number, requests.number);
    EXPECT_EQ(add("p", bucket("99t/m")).number, tokens.used.number);
}

TEST_F(Reload, ContinuesWithWhatThePolicyCountedLast) {
    const uint32_t requests = add("p", bucket("10r/m")).number;
    const uint32_t tokens = add("p", bucket("10t/m")).number;
    ASSERT_NE(tokens, requests);
    EXPECT_EQ(add("p", bucket("1r/s", 1), true).number, tokens);
    EXPECT_EQ(add("p", bucket("10t/m")).number, tokens);
    EXPECT_EQ(add("p", bucket("10r/m")).number, requests);
    EXPECT_EQ(add("p", bucket("1r/s", 1), true).number, requests);
}

TEST_F(Reload, KeepsReservedAndUsedTokensForEachAlgorithm) {
    for (const Algorithm algorithm : kRates) {
        const std::string name = name_of(algorithm);
        const TokenPolicy policy =
            add_token_policy(memory.zone(), name.c_str(), limit_of_rate(algorithm, "1000t/h"));
        Request request(user);
        ASSERT_TRUE(request.charge_tokens(policy, 42, 400).admit(kNow));
        Request ended(user);
        ASSERT_TRUE(ended.charge_tokens(policy, 42, 400).admit(kNow));
        ended.settle(0, 250, kNow);
        const TokenPolicy next =
            add_token_policy(memory.zone(), name.c_str(), limit_of_rate(algorithm, "700t/h"));
        EXPECT_EQ(next.held.number, policy.held.number) << name;
        EXPECT_EQ(next.used.number, policy.used.number) << name;
        Request more(user);
        EXPECT_FALSE(more.charge_tokens(next, 42, 51).would_admit(kNow)) << name;
        Request fits(user);
        EXPECT_TRUE(fits.charge_tokens(next, 42, 50).would_admit(kNow)) << name;
        // The request settles by its old limit, which nothing exceeds.
        EXPECT_EQ(request.settle(0, 700, kNow), 0u) << name;
        EXPECT_EQ(look(user, next.used, 42, kNow), 950u) << name;
    }
}

TEST_F(Reload, KeepsWhatAKeyHasUsedUnderASlowerOverride) {
    for (const Algorithm algorithm : kRates) {
        const std::string name = name_of(algorithm);
        const Limit configured = limit_of_rate(algorithm, "60r/m");
        const ZonePolicy policy = add(name.c_str(), configured);
        const ZonePolicy day = note(policy, limit_of_rate(algorithm, "1000r/d"));
        ASSERT_TRUE(set_override(memory.zone(),
                                 {tag_of(1 << 20, policy.number), policy.number, &day.limit,
                                  "1000r/d", "ip:a", kNow.monotonic + kDay},
                                 kNow.monotonic));
        ASSERT_TRUE(Request(user).charge(day, 1 << 20, 500).admit(kNow));
        add(name.c_str(), configured);
        const ZoneMemory resized({128, 128, 4});
        copy_zone(user.journal(), resized.zone(), later(5 * 60 * kMinute));
        const ZoneUser reader(resized.zone(), &kAllAlive, 1);
        EXPECT_GT(look(reader, day, 1 << 20, later(5 * 60 * kMinute)), 200u) << name;
    }
}

TEST_F(Reload, ReturnsToAnEarlierPeriodAfterAnyNumberOfOthers) {
    for (const Algorithm algorithm : {Algorithm::kSlidingWindow, Algorithm::kFixedWindow}) {
        const std::string name = name_of(algorithm);
        const ZonePolicy first = add(name.c_str(), limit_of_rate(algorithm, "1000r/2d"));
        const ZonePolicy month = note(first, limit_of_rate(algorithm, "1000r/4w"));
        ASSERT_TRUE(set_override(memory.zone(),
                                 {tag_of(1 << 20, first.number), first.number, &month.limit,
                                  "1000r/4w", "ip:a", kNow.monotonic + 30 * kDay},
                                 kNow.monotonic));
        ASSERT_TRUE(Request(user).charge(month, 1 << 20, 5).admit(kNow));
        Amount used = 0;
        for (const char* rate : {"1000r/d", "1000r/h", "1000r/2h", "1000r/3h", "1000r/4h"}) {
            const ZonePolicy before = add(name.c_str(), limit_of_rate(algorithm, rate));
            ASSERT_TRUE(Request(user).charge(before, 2 << 20, 100).admit(kNow));
            used += 100;
            const ZonePolicy minute = add(name.c_str(), limit_of_rate(algorithm, "1000r/m"));
            ASSERT_TRUE(Request(user).charge(minute, 2 << 20).admit(later(3 * kMinute)));
            used += 1;
            const ZonePolicy again = add(name.c_str(), limit_of_rate(algorithm, rate));
            EXPECT_GE(look(user, again, 2 << 20, later(3 * kMinute)), 101u) << name << rate;
            EXPECT_LE(look(user, again, 2 << 20, later(3 * kMinute)), used) << name << rate;
        }
        EXPECT_EQ(look(user, month, 1 << 20, later(3 * kMinute)), 5u) << name;
        EXPECT_FALSE(has_too_many_periods(memory.zone(), first.number)) << name;
    }
}

TEST_F(PolicyLimits, ReportTooManyPeriods) {
    const Algorithm window = Algorithm::kFixedWindow;
    const ZonePolicy policy = add("p", bucket("1r/s", 1), true);
    const ZonePolicy varying = add("w", limit_of_rate(window, "1r/s"), true);
    for (const char* rate : {"9r/m", "9r/h", "9r/d", "9r/month", "8r/m", "8r/month"}) {
        note(varying, limit_of_rate(window, rate));
        note(policy, bucket(rate));
        EXPECT_FALSE(has_too_many_periods(memory.zone(), varying.number)) << rate;
    }
    note(varying, limit_of_rate(window, "9r/w"));
    note(policy, bucket("9r/w"));
    EXPECT_TRUE(has_too_many_periods(memory.zone(), varying.number));
    EXPECT_FALSE(has_too_many_periods(memory.zone(), policy.number)) << "buckets have no periods";
    memory.zone().policy(varying.number)->in_redis = 1;
    EXPECT_FALSE(has_too_many_periods(memory.zone(), varying.number));
}

TEST_F(Reload, ResetsTheCountersOfAPolicyThatTakesOverANumber) {
    const TokenPolicy first = add_token_policy(memory.zone(), "first", bucket("10t/m"));
    Request request(user);
    ASSERT_TRUE(request.charge_tokens(first, 42, 1).admit(kNow));
    ASSERT_EQ(request.settle(0, 15, kNow), 5u);
    memory.zone().policy(first.used.number)->usage_missing = 3;
    ZonePolicy last{};
    for (uint32_t i = 0; i < kMaxPolicies; ++i) {
        last = add(("p" + std::to_string(i)).c_str(), bucket("20t/h"));
    }
    EXPECT_GE(last.number, first.used.number);
    const PolicyRecord* heir = memory.zone().policy(first.used.number);
    EXPECT_EQ(heir->overshoot.load(), 0u);
    EXPECT_EQ(heir->usage_missing.load(), 0u);
    EXPECT_EQ(find_limit(memory.zone(), first.used.number, 1).capacity, 20u);
    EXPECT_EQ(entries_of(memory.zone(), first.used), 0u);
}

}  // namespace
}  // namespace ai_limit
