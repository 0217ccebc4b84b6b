// A key whose limit changes to another period and back: what was used stays used.

#include "core/buckets/period_entries.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/keys/key_entry.h"
#include "core/limits/fixed_window.h"
#include "deaths.h"
#include "random.h"
#include "zone_memory.h"

namespace ai_limit {
namespace {

constexpr Millis kMinute = 60'000;
constexpr Millis kHour = 60 * kMinute;
constexpr Millis kDay = 24 * kHour;
constexpr Millis kMidnight = 20'000 * kDay;
constexpr uint64_t kKey = 0x1234'5678'9abc'def0;

/** Returns the time that lies this long after a midnight. */
Now at(Millis time) {
    return {kDay + time, kMidnight + time};
}

constexpr Algorithm kWindows[] = {Algorithm::kSlidingWindow, Algorithm::kFixedWindow};

/** A policy whose limits are those of these rates. */
class Periods : public testing::TestWithParam<Algorithm> {
protected:
    ZonePolicy with_rate(const char* rate) {
        Limit limit = limit_of_rate(GetParam(), rate);
        note_limit(memory.zone(), policy.number, &limit);
        return {policy.number, limit};
    }

    bool pass(const ZonePolicy& by, Millis time, Amount cost = 1) {
        return Request(user).charge(by, kKey, cost).admit(at(time));
    }

    Amount passes(const ZonePolicy& by, Millis time, Amount most = 2'000) {
        Amount count = 0;
        while (count < most && pass(by, time)) {
            ++count;
        }
        return count;
    }

    Amount used(const ZonePolicy& by, Millis time) { return look(user, by, kKey, at(time)); }

    KeyAnswer read(const ZonePolicy& by, Millis time) {
        KeyAnswer answer{};
        read_key({user.access(), tag_base(kKey), &by.limit, policy.number, 0, 0, false}, at(time),
                 &answer);
        return answer;
    }

    ZoneMemory memory{{64, 64, 4}};
    ZoneUser user{memory.zone(), &kAllAlive, 1};
    ZonePolicy policy = add_policy(memory.zone(), "p", limit_of_rate(GetParam(), "20r/d"));
};

INSTANTIATE_TEST_SUITE_P(Windows, Periods, testing::ValuesIn(kWindows),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(Periods, DoNotRestartADayForALimitPerMinute) {
    ZonePolicy minute = with_rate("600r/m");
    ASSERT_EQ(passes(policy, kHour), 20u);
    EXPECT_EQ(used(minute, kHour), 20u);
    EXPECT_EQ(passes(minute, kHour), 580u);
    EXPECT_EQ(passes(minute, kHour + 3 * kMinute), 600u);
    EXPECT_EQ(used(policy, kHour + 9 * kMinute), 1200u);
    EXPECT_FALSE(pass(policy, kHour + 9 * kMinute));
    EXPECT_TRUE(pass(policy, 3 * kDay)) << "when the day is over it is";
}

TEST_P(Periods, DoNotBlockAKeyAfterATemporaryLongerLimit) {
    ZonePolicy minute = with_rate("60r/m");
    ZonePolicy day = with_rate("1000r/2d");
    ASSERT_EQ(passes(minute, kHour), 60u);
    EXPECT_EQ(passes(day, kHour), 940u);
    EXPECT_EQ(passes(minute, kHour), 0u);
    EXPECT_EQ(passes(minute, kHour + 3 * kMinute), 60u);
}

TEST_P(Periods, StartAnUpgradeWithWhatWasUsedAndThenFollowItsOwnWindow) {
    ZonePolicy pro = with_rate("60r/m");
    ASSERT_EQ(passes(policy, kHour), 20u);
    EXPECT_EQ(passes(pro, kHour), 40u);
    EXPECT_EQ(passes(pro, kHour + 3 * kMinute), 60u);
}

TEST_P(Periods, DoNotBlockAnUpgradedKeyForLong) {
    ZonePolicy day = with_rate("1000r/2d");
    ZonePolicy minute = with_rate("60r/m");
    ASSERT_EQ(passes(day, kHour, 800), 800u);
    EXPECT_EQ(passes(minute, kHour), 0u);
    // A sliding window knows when something was used to an eighth of its length.
    Millis known = GetParam() == Algorithm::kFixedWindow ? 2 * kMinute : 7 * kHour;
    EXPECT_EQ(passes(minute, kHour + known), 60u);
    EXPECT_EQ(passes(day, kHour + known), 140u);
    EXPECT_EQ(passes(minute, kHour + known + 2 * kMinute), 60u) << "whatever the day has";
}

TEST_P(Periods, KeepTheCountOfABlockedKey) {
    ZonePolicy blocked = with_rate("0r/m");
    ASSERT_EQ(passes(policy, kHour, 5), 5u);
    EXPECT_FALSE(pass(blocked, kHour + kMinute));
    EXPECT_EQ(read(blocked, kHour + 5 * kMinute).used, 5u);
    EXPECT_EQ(used(policy, kHour + 9 * kMinute), 5u);
}

TEST_P(Periods, AreAllForgottenWithTheirKey) {
    ZonePolicy minute = with_rate("600r/m");
    ASSERT_TRUE(pass(policy, kHour) && pass(minute, kHour));
    EXPECT_EQ(entries_of(memory.zone(), policy), 2u);
    EXPECT_TRUE(forget_key({user.access(), tag_base(kKey), nullptr, policy.number, 0, 0, false}));
    EXPECT_EQ(entries_of(memory.zone(), policy), 0u);
    EXPECT_EQ(used(policy, kHour), 0u);
}

TEST_P(Periods, RemoveALongerEntryWhoseWindowIsOver) {
    ZonePolicy minute = with_rate("600r/m");
    ASSERT_TRUE(pass(minute, kHour) && pass(policy, kHour));
    ASSERT_TRUE(pass(policy, kHour + 3 * kMinute));
    EXPECT_EQ(entries_of(memory.zone(), policy), 2u) << "a shorter one is kept";
    ASSERT_TRUE(pass(minute, 3 * kDay));
    EXPECT_EQ(entries_of(memory.zone(), policy), 1u);
}

TEST_P(Periods, ShareOneEntryIfThereAreTooMany) {
    std::vector<ZonePolicy> limits = {policy};
    for (const char* rate : {"20r/h", "20r/30m", "20r/m", "20r/s"}) {
        limits.push_back(with_rate(rate));
    }
    for (const ZonePolicy& limit : limits) {
        pass(limit, kHour, 4);
    }
    EXPECT_LE(entries_of(memory.zone(), policy), kMaxVariants);
    EXPECT_EQ(used(policy, kHour), 20u);
    EXPECT_FALSE(pass(policy, kHour + 5 * kMinute));
}

/**
 * Whatever the limits that a key changes between: by none of them more passes in its window than it
 * allows, counted from the first request that it let through.
 */
TEST_P(Periods, NeverPassMoreThanALimitAllows) {
    const char* const kRates[] = {"20r/d", "9r/h", "4r/m"};
    const bool is_fixed = GetParam() == Algorithm::kFixedWindow;
    for (uint64_t seed = 1; seed <= 100; ++seed) {
        Random random(seed);
        memory.~ZoneMemory();
        new (&memory) ZoneMemory({64, 64, 4});
        ZoneUser one(memory.zone(), &kAllAlive, 1);
        policy = add_policy(memory.zone(), "p", limit_of_rate(GetParam(), "20r/d"));
        ZonePolicy limits[] = {policy, with_rate(kRates[1]), with_rate(kRates[2])};
        Millis since[] = {-1, -1, -1};  // when the limit began to count
        std::vector<Millis> passed;
        Millis time = 0;
        for (int i = 0; i < 400; ++i) {
            time += random.between(0, random.one_in(20) ? kHour : kMinute / 4);
            size_t which = static_cast<size_t>(random.below(3));
            const Limit& limit = limits[which].limit;
            if (!Request(one).charge(limits[which], kKey).admit(at(time))) {
                continue;
            }
            fixed_window::Window window =
                fixed_window::window_at(limit.period, 0, kMidnight + time);
            Millis begin =
                is_fixed ? Millis{window.start} * 1000 - kMidnight : time - limit.period_length + 1;
            Millis gap = passed.empty() ? 0 : time - passed.back();
            bool begins =
                since[which] < 0 || (is_fixed ? since[which] < begin : gap > limit.period_length);
            since[which] = begins ? time : since[which];
            passed.push_back(time);
            Amount count = 0;
            for (Millis one_passed : passed) {
                count += one_passed >= begin && one_passed >= since[which] ? 1 : 0;
            }
            ASSERT_LE(count, limit.capacity) << "seed " << seed << " by " << kRates[which];
        }
        ASSERT_GT(passed.size(), 60u);
    }
}

TEST_P(Periods, SettleTokensInAllPeriods) {
    TokenPolicy tokens = add_token_policy(memory.zone(), "t", limit_of_rate(GetParam(), "500t/d"));
    TokenPolicy minute = tokens;
    minute.used.limit = limit_of_rate(GetParam(), "300t/m");
    note_limit(memory.zone(), tokens.used.number, &minute.used.limit);
    for (const TokenPolicy* by : {&tokens, &minute, &tokens}) {
        Request request(user);
        ASSERT_TRUE(request.charge_tokens(*by, kKey, 50).admit(at(kHour)));
        request.settle(0, 100, at(kHour));
    }
    EXPECT_EQ(look(user, tokens.used, kKey, at(kHour)), 300u);
    EXPECT_EQ(look(user, minute.used, kKey, at(kHour)), 300u);
    EXPECT_FALSE(Request(user).charge_tokens(minute, kKey, 0).admit(at(kHour)));
}

// --- a process that dies

class PeriodsAtEveryInstruction : public Stepwise<testing::TestWithParam<Algorithm>> {
protected:
    void SetUp() override {
        Stepwise::SetUp();
        if (IsSkipped()) {
            return;
        }
        note_limit(zone, policy.used.number, &minute.limit);
        minute.number = policy.used.number;
    }

    TokenPolicy by_minute() const { return {policy.held, minute}; }

    void use(const TokenPolicy& by, Amount tokens) {
        Request request(mortal);
        ASSERT_TRUE(request.charge_tokens(by, kKey, 10).admit(at(kHour)));
        request.settle(0, tokens, at(kHour));
    }

    /** Whenever it died, both periods have counted the same: one of these amounts. */
    void expect_either(Deaths* deaths, Amount one, Amount another) {
        g_is_dead[1] = true;
        for (size_t i = 0; i < deaths->count(); ++i) {
            ZoneMemory* left = deaths->state(i);
            ZoneUser survivor(left->zone(), &kStepHost, 2);
            reclaim_dead(survivor.journal(), at(kHour));
            ASSERT_TRUE(is_at_rest(left->zone())) << "state " << i;
            Amount used = look(survivor, policy.used, kKey, at(kHour));
            ASSERT_TRUE(used == one || used == another) << used << " in state " << i;
            ASSERT_EQ(look(survivor, minute, kKey, at(kHour)), used) << "state " << i;
        }
    }

    ZoneMemory memory{kTiny};
    Zone zone = memory.zone();
    ZoneUser mortal{zone, &kStepHost, 1};
    TokenPolicy policy = add_token_policy(zone, "t", limit_of_rate(GetParam(), "500t/d"));
    ZonePolicy minute{0, limit_of_rate(GetParam(), "300t/m")};
};

INSTANTIATE_TEST_SUITE_P(Windows, PeriodsAtEveryInstruction, testing::ValuesIn(kWindows),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(PeriodsAtEveryInstruction, SettlesInAllPeriodsOrInNone) {
    use(policy, 100);
    TokenPolicy by_minute = this->by_minute();
    use(by_minute, 20);
    Request request(mortal);
    ASSERT_TRUE(request.charge_tokens(by_minute, kKey, 10).admit(at(kHour)));
    Deaths deaths(memory, [&] { request.settle(0, 30, at(kHour)); });
    expect_either(&deaths, 130, 150);
}

TEST_P(PeriodsAtEveryInstruction, MakesTheFirstSettlementOfAPeriodInAllPeriodsOrInNone) {
    use(policy, 100);
    TokenPolicy by_minute = this->by_minute();
    Request request(mortal);
    ASSERT_TRUE(request.charge_tokens(by_minute, kKey, 10).admit(at(kHour)));
    Deaths deaths(memory, [&] { request.settle(0, 30, at(kHour)); });
    expect_either(&deaths, 110, 130);
}

TEST_P(PeriodsAtEveryInstruction, CountsAnAdmissionInAllPeriodsOrInNone) {
    Limit day = limit_of_rate(GetParam(), "500r/d");
    Limit short_one = limit_of_rate(GetParam(), "300r/m");
    ZonePolicy requests = add_policy(zone, "r", day);
    note_limit(zone, requests.number, &short_one);
    ZonePolicy by_short = {requests.number, short_one};
    ASSERT_TRUE(Request(mortal).charge(requests, kKey, 5).admit(at(kHour)));
    ASSERT_TRUE(Request(mortal).charge(by_short, kKey, 2).admit(at(kHour)));
    Request request(mortal);
    request.charge(by_short, kKey, 3);
    bool passed = false;
    Deaths deaths(memory, [&] { passed = request.admit(at(kHour)); });
    ASSERT_TRUE(passed);
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), at(kHour));
        Amount used = look(survivor, requests, kKey, at(kHour));
        ASSERT_TRUE(used == 7 || used == 10) << used << " in state " << i;
        ASSERT_EQ(look(survivor, by_short, kKey, at(kHour)), used) << "state " << i;
    }
}

}  // namespace
}  // namespace ai_limit
