// Tokens that several sharers use: what is reserved, grown, settled and refunded.

#include <gtest/gtest.h>

#include "rate_zone.h"

namespace ai_limit {
namespace {

using rate_zone::kHost;
using rate_zone::kNow;
using rate_zone::later;

constexpr uint64_t kKey = 77'000;
constexpr uint64_t kGreedy = 5'000;
constexpr uint64_t kModest = 6'000;

struct SharedTokens : testing::TestWithParam<Algorithm> {
    SharedTokens()
        : memory(sizes_for(1 << 20, true, true, false, true)),
          user(memory.zone(), &kHost, 1),
          policy(add_token_policy(memory.zone(), "p", limit_of_rate(GetParam(), "1000t/h"))),
          sharer(add_policy(memory.zone(), "p", sharer_limit(false))) {}

    Request request(uint64_t who, Amount reserve, uint32_t weight = 1) {
        Request one(user);
        one.charge_tokens(policy, kKey, reserve).for_sharer(sharer, who, weight);
        return one;
    }

    bool passes(uint64_t who, Amount reserve, Millis at = 0) {
        return request(who, reserve).admit(later(at));
    }

    /** Returns what is left of the sharer's part. */
    Amount left(uint64_t who) {
        Request one = request(who, 1);
        one.would_admit(kNow);
        return one.sharer(0).part.left;
    }

    ZoneMemory memory;
    ZoneUser user;
    TokenPolicy policy;
    ZonePolicy sharer;
};

INSTANTIATE_TEST_SUITE_P(Of, SharedTokens,
                         testing::Values(Algorithm::kTokenBucket, Algorithm::kFixedWindow),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(SharedTokens, ReservationsCountInThePartUntilTheyAreSettled) {
    Request modest = request(kModest, 300);
    ASSERT_TRUE(modest.admit(kNow));
    Request greedy = request(kGreedy, 400);
    ASSERT_TRUE(greedy.admit(kNow));
    EXPECT_EQ(left(kModest), 200U);
    greedy.settle(0, 50, kNow);
    modest.settle(0, 10, kNow);
    EXPECT_EQ(left(kModest), 490U);
    EXPECT_EQ(left(kGreedy), 450U);
}

TEST_P(SharedTokens, SettlingMoreThanWasReservedIsPaidFromThePart) {
    ASSERT_TRUE(passes(kGreedy, 100));
    Request modest = request(kModest, 100);
    ASSERT_TRUE(modest.admit(kNow));
    modest.settle(0, 450, kNow);
    // The other claims what it asked for, or its part where that is not known.
    Request more = request(kModest, 60);
    more.would_admit(kNow);
    EXPECT_FALSE(more.sharer(0).part.is_own);
    EXPECT_EQ(more.sharer(0).part.left, 50U);
}

TEST_P(SharedTokens, RefundedRequestLeavesThePartWhole) {
    ASSERT_TRUE(passes(kGreedy, 100));
    Request modest = request(kModest, 500);
    ASSERT_TRUE(modest.admit(kNow));
    EXPECT_FALSE(passes(kModest, 400));
    modest.settle(0, 0, kNow);
    Request next = request(kModest, 500);
    ASSERT_TRUE(next.admit(kNow));
    EXPECT_TRUE(next.sharer(0).part.is_own);
}

TEST_P(SharedTokens, RequestThatReservesNothingTakesNothingOfThePart) {
    ASSERT_TRUE(passes(kGreedy, 100));
    Request modest = request(kModest, 0);
    ASSERT_TRUE(modest.admit(kNow));
    EXPECT_EQ(left(kModest), 500U);
    modest.settle(0, 200, kNow);
    EXPECT_EQ(left(kModest), 300U);
}

TEST_P(SharedTokens, AnswerGrowsWithinItsPartAndWhatIsLent) {
    Request modest = request(kModest, 300);
    ASSERT_TRUE(modest.admit(kNow));
    Request greedy = request(kGreedy, 100);
    ASSERT_TRUE(greedy.admit(kNow));
    const Amount granted = greedy.grow(0, 900, kNow);
    EXPECT_EQ(granted, 400U);
    EXPECT_EQ(greedy.grow(0, 900, kNow), 0U) << "the other claims what is left";
    EXPECT_TRUE(passes(kModest, 200));
    greedy.settle(0, 100, kNow);
    EXPECT_EQ(left(kGreedy), 400U);
}

TEST_P(SharedTokens, FirstReservationOfARunningAnswerIsBoundByThePart) {
    ASSERT_TRUE(passes(kModest, 300));
    Request greedy = request(kGreedy, 0);
    ASSERT_TRUE(greedy.admit(kNow));
    EXPECT_EQ(greedy.grow(0, 900, kNow), 500U);
    EXPECT_TRUE(passes(kModest, 200));
    greedy.settle(0, 20, kNow);
    EXPECT_EQ(left(kGreedy), 480U);
}

TEST_P(SharedTokens, LookingAheadChangesNothing) {
    ASSERT_TRUE(passes(kModest, 300));
    ASSERT_TRUE(passes(kGreedy, 100));
    // The journals before that note the locks.
    const size_t counts = layout_of(memory.zone().sizes()).tallies;
    const std::vector<char> before(memory.data() + counts, memory.data() + memory.size());
    for (const uint64_t who : {kModest, kGreedy, uint64_t{9'000}}) {
        Request one = request(who, 100);
        one.would_admit(kNow);
    }
    EXPECT_TRUE(std::equal(before.begin(), before.end(), memory.data() + counts));
}

TEST_P(SharedTokens, LookingAtAnEmptyKeyChangesNothing) {
    ASSERT_TRUE(passes(kGreedy, 900));
    ASSERT_TRUE(passes(kModest, 100));
    const size_t counts = layout_of(memory.zone().sizes()).tallies;
    const std::vector<char> before(memory.data() + counts, memory.data() + memory.size());
    for (const uint64_t who : {kModest, kGreedy, uint64_t{9'000}}) {
        Request one = request(who, 0);
        one.look(kNow);
        EXPECT_EQ(one.policy_charge(0).use.verdict, Verdict::kRefused);
    }
    EXPECT_TRUE(std::equal(before.begin(), before.end(), memory.data() + counts));
}

TEST_P(SharedTokens, SharerIsActiveWhenItIsRefusedBeforeItsBodyIsThere) {
    ASSERT_TRUE(passes(kGreedy, 1000));
    Request modest = request(kModest, 0);
    ASSERT_FALSE(modest.would_admit(kNow)) << "nothing is left";
    Request greedy = request(kGreedy, 0);
    greedy.would_admit(kNow);
    EXPECT_EQ(greedy.sharer(0).part.claimed, GetParam() == Algorithm::kTokenBucket ? 1U : 500U);
}

TEST_P(SharedTokens, DescriptionSaysWhatRemainsForTheSharer) {
    ASSERT_TRUE(passes(kModest, 300));
    Request greedy = request(kGreedy, 100);
    ASSERT_TRUE(greedy.admit(kNow));
    const auto describe_first = [](Request& one, bool refused) {
        const Charge& use = one[0];
        Description said = describe(*use.limit, use.state, use.cost, refused, kNow);
        describe_part(one.policy_charge(0), kNow, &said);
        return said;
    };
    EXPECT_EQ(describe_first(greedy, false).remaining, 400U);
    Request refused = request(kGreedy, 450);
    ASSERT_FALSE(refused.admit(kNow));
    const Description said = describe_first(refused, true);
    EXPECT_EQ(said.remaining, 400U);
    EXPECT_GT(said.wait, 0);
    EXPECT_LE(said.wait, 3'600'000);
}

TEST_P(SharedTokens, AnOverrideOfTheKeysRateChangesTheParts) {
    ASSERT_TRUE(passes(kModest, 300));
    ASSERT_TRUE(passes(kGreedy, 100));
    const TokenPolicy wider = {policy.held,
                               {policy.used.number, limit_of_rate(GetParam(), "4000t/h")}};
    Request one(user);
    one.charge_tokens(wider, kKey, 1800).for_sharer(sharer, kGreedy);
    ASSERT_TRUE(one.admit(kNow));
    EXPECT_TRUE(one.sharer(0).part.is_own);
    // Back to the old limit: nothing of its part is left.
    Request next = request(kGreedy, 1);
    EXPECT_FALSE(next.admit(kNow));
    EXPECT_EQ(next.sharer(0).part.left, 0U);
}

TEST_P(SharedTokens, SharersBeginAnewInAZoneOfAnotherSize) {
    ASSERT_TRUE(passes(kModest, 300));
    ASSERT_TRUE(passes(kGreedy, 400));
    ZoneMemory larger(sizes_for(1 << 21, true, true, false, true));
    copy_zone(user.journal(), larger.zone(), kNow);
    ZoneUser then(larger.zone(), &kHost, 2);
    EXPECT_EQ(entries_of(larger.zone(), sharer), 0U);
    Request one(then);
    one.charge_tokens(policy, kKey, 300).for_sharer(sharer, kModest);
    EXPECT_TRUE(one.admit(kNow)) << "300 of the key are left";
    EXPECT_EQ(one.used(0), 1000U);
}

}  // namespace
}  // namespace ai_limit
