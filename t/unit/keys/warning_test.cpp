// Tests that a key that passes a part of its limit is noticed once, and again only after it has
// used less.

#include "core/keys/warning.h"

#include <gtest/gtest.h>

#include "core/buckets/displacement.h"
#include "core/zone/bucket_pair.h"
#include "rate_zone.h"

namespace ai_limit {
namespace {

using rate_zone::kHost;
using rate_zone::kHour;
using rate_zone::kNow;
using rate_zone::later;

constexpr uint64_t kKey = 0x1234'5678'9abc'def0;
constexpr uint32_t kPercent = 80;

TEST(WarningLevels, AreWholeAndNeverNothing) {
    EXPECT_EQ(warning_levels(10, 80).passed, 8U);
    EXPECT_EQ(warning_levels(10, 80).below, 7U);
    EXPECT_EQ(warning_levels(3, 50).passed, 2U) << "rounded up";
    EXPECT_EQ(warning_levels(3, 50).below, 2U);
    EXPECT_EQ(warning_levels(1, 1).passed, 1U);
    EXPECT_EQ(warning_levels(kMaxAmount, 100).passed, kMaxAmount);
}

class Warning : public testing::TestWithParam<Algorithm> {
protected:
    Warning()
        : memory(sizes_for(64 * 1024, true, true)),
          user(memory.zone(), &kHost, 1),
          other(memory.zone(), &kHost, 2),
          policy(add_policy(memory.zone(), "p", hourly(GetParam(), 100))) {}

    /** Takes `cost`; true if that passes the warning. */
    bool warns(Amount cost, Now now = kNow, uint64_t key = kKey) {
        return warns_in(user, cost, now, key);
    }

    bool warns_in(const ZoneUser& process, Amount cost, Now now = kNow, uint64_t key = kKey) {
        Request request(process);
        EXPECT_TRUE(request.charge(policy, key, cost).admit(now));
        return passes_warning(request[0], kPercent, cost, request[0].state);
    }

    ZoneMemory memory;
    ZoneUser user;
    ZoneUser other;
    ZonePolicy policy;
};

INSTANTIATE_TEST_SUITE_P(EachAlgorithm, Warning, testing::ValuesIn(kRates),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(Warning, NoticesTheRequestThatPassesAndNoLaterOne) {
    EXPECT_FALSE(warns(79));
    EXPECT_TRUE(warns(1));
    EXPECT_FALSE(warns(1));
    EXPECT_FALSE(warns(10));
}

TEST_P(Warning, NoticesAPassInOneStep) {
    EXPECT_TRUE(warns(95));
}

TEST_P(Warning, TellsOneOfSeveralProcesses) {
    EXPECT_FALSE(warns_in(user, 79));
    EXPECT_TRUE(warns_in(other, 1));
    EXPECT_FALSE(warns_in(user, 1));
}

TEST_P(Warning, KeepsKeysApart) {
    EXPECT_TRUE(warns(90));
    EXPECT_TRUE(warns(90, kNow, kKey + 0x1000));
    EXPECT_FALSE(warns(1));
}

TEST_P(Warning, NoticesAPassAgainAfterTheLimitHasComeBack) {
    EXPECT_TRUE(warns(90));
    EXPECT_FALSE(warns(10, later(3 * kHour)));
    EXPECT_FALSE(warns(69, later(3 * kHour)));
    EXPECT_TRUE(warns(1, later(3 * kHour)));
}

TEST_P(Warning, NoticesAPassInOneStepAgainAlthoughNobodySawItFall) {
    EXPECT_TRUE(warns(90));
    EXPECT_TRUE(warns(90, later(3 * kHour)));
    EXPECT_FALSE(warns(1, later(3 * kHour)));
}

TEST_P(Warning, NoticesUseThatOthersHaveAdded) {
    Request request(user);
    ASSERT_TRUE(request.charge(policy, kKey, 90).admit(kNow));  // by another node
    EXPECT_TRUE(warns(1));
    EXPECT_FALSE(warns(1));
}

TEST_P(Warning, SaysNothingOfABlockedKeyOrAFreeRequest) {
    Request request(user);
    ASSERT_TRUE(request.charge(policy, kKey, 0).admit(kNow));
    EXPECT_FALSE(passes_warning(request[0], kPercent, 0, request[0].state));
    const ZonePolicy blocked = add_policy(memory.zone(), "b", hourly(GetParam(), 0));
    Request refused(user);
    ASSERT_FALSE(refused.charge(blocked, kKey).admit(kNow));
    EXPECT_FALSE(passes_warning(refused[0], kPercent, 1, refused[0].state));
}

TEST_P(Warning, AnotherKeyInTheSameCellIsNoticed) {
    ASSERT_TRUE(warns(90));
    const Geometry& geometry = geometry_of(GetParam());
    const BucketPair pair = bucket_pair_of(memory.zone(), GetParam(),
                                           tag_of(tag_base(kKey), policy.number), policy.number);
    const Cell cell = pair.find();
    ASSERT_TRUE(has_mark(cell));
    Journal* journal = &user.access()->journal;
    journal->lock(cell.bucket);
    store_tag(journal, cell, 0);
    journal->finish();
    EXPECT_FALSE(has_mark(cell));
    EXPECT_EQ(find_tag(cell.bucket, geometry, pair.tag), kNoCell);
    EXPECT_TRUE(warns(90));
}

TEST_P(Warning, EntryThatMovesKeepsItsMark) {
    ASSERT_TRUE(warns(90));
    const BucketPair pair = bucket_pair_of(memory.zone(), GetParam(),
                                           tag_of(tag_base(kKey), policy.number), policy.number);
    const Cell cell = pair.find();
    ASSERT_EQ(cell.bucket, pair.first);
    ASSERT_NE(pair.first, pair.second);
    Journal* journal = &user.access()->journal;
    journal->lock(pair.first);
    ASSERT_TRUE(move_away(journal, *pair.geometry, cell));
    journal->finish();
    ASSERT_EQ(pair.find().bucket, pair.second);
    EXPECT_TRUE(has_mark(pair.find()));
    EXPECT_FALSE(has_mark(cell));
    EXPECT_FALSE(warns(1));
}

TEST(WarningOfSlots, NoticesTheSlotThatPasses) {
    ZoneMemory memory(sizes_for(64 * 1024, true, true));
    ZoneUser user(memory.zone(), &kHost, 1);
    const ZonePolicy slots = add_policy(memory.zone(), "s", concurrency_limit(10));
    std::vector<Request> requests;
    const auto begin = [&] {
        Request& one = requests.emplace_back(user);
        EXPECT_TRUE(one.charge(slots, kKey).admit(kNow));
        return passes_warning(one[0], kPercent, 1, one[0].state);
    };
    for (int i = 0; i < 7; ++i) {
        EXPECT_FALSE(begin()) << i;
    }
    EXPECT_TRUE(begin());
    requests.back().end();
    EXPECT_FALSE(begin()) << "it has not fallen below 7";
    for (int i = 0; i < 3; ++i) {
        requests[static_cast<size_t>(i)].end();
    }
    EXPECT_FALSE(begin());
    EXPECT_FALSE(begin());
    EXPECT_TRUE(begin());
}

TEST(WarningOfTokens, GoesByWhatIsSettledAndNotByReservations) {
    ZoneMemory memory({64, 64, 4});
    ZoneUser user(memory.zone(), &kHost, 1);
    const TokenPolicy tokens =
        add_token_policy(memory.zone(), "t", limit_of_rate(Algorithm::kFixedWindow, "1000t/h"));
    const auto settle = [&](Amount reserve, Amount used) {
        Request one(user);
        EXPECT_TRUE(one.charge_tokens(tokens, kKey, reserve).admit(kNow));
        PolicyCharge charge = one.policy_charge(0);
        State after{};
        settle_charge(&charge, used, kNow, &after);
        return passes_warning(one[0], kPercent, used, after);
    };
    EXPECT_FALSE(settle(900, 100));
    EXPECT_FALSE(settle(100, 699));
    EXPECT_TRUE(settle(1, 1));
    EXPECT_FALSE(settle(1, 150));
}

}  // namespace
}  // namespace ai_limit
