// The part of each sharer of a key, and what it uses of that, as operators see it.

#include "core/keys/key_sharers.h"

#include <gtest/gtest.h>

#include "rate_zone.h"

namespace ai_limit {
namespace {

using rate_zone::kNow;
using rate_zone::later;
using rate_zone::RateZone;

constexpr uint64_t kKey = 77'000;

struct Pool : RateZone {
    explicit Pool(const Limit& limit)
        : RateZone(sizes_for(1 << 20, true, false, false, true)),
          policy(add_shared_policy(zone, "p", limit)) {}

    /** Lets a sharer ask so many times; returns the last request. */
    Request ask(uint64_t sharer, int times, uint32_t weight = 1, Millis at = 0) {
        Request request(user);
        for (int i = 0; i < times; ++i) {
            request = Request(user);
            request.charge_shared(policy, kKey, sharer, weight).admit(later(at));
        }
        tags[sharer] = request.sharer(0).tag;
        key_tag = request[0].tag;
        return request;
    }

    /** Returns false for one that is not shown. */
    bool look(uint64_t sharer, Millis at = 0, bool knows_limit = true, uint32_t nodes = 1) {
        const SharedKey key = {user.access(), key_tag, knows_limit ? &policy.use.limit : nullptr,
                               policy.use.number, nodes};
        const Ask ask = {&policy.sharer.limit, user.access(), 1, policy.sharer.number, false};
        return read_sharer_row(key, {tags[sharer], key_tag, {}, {}}, ask, later(at), &row);
    }

    SharedPolicy policy;
    uint64_t tags[100] = {};
    uint64_t key_tag = 0;
    SharerRow row{};
};

TEST(KeySharers, PartFollowsFromTheWeightsOfTheActiveOnes) {
    for (Algorithm algorithm : kRates) {
        Pool pool(limit_of_rate(algorithm, "100r/m"));
        pool.ask(1, 10, 1);
        pool.ask(2, 5, 4);
        ASSERT_TRUE(pool.look(1)) << name_of(algorithm);
        EXPECT_EQ(pool.row.part, 20U) << name_of(algorithm);
        EXPECT_EQ(pool.row.used, 10U) << name_of(algorithm);
        EXPECT_EQ(pool.row.weight, 1U) << name_of(algorithm);
        ASSERT_TRUE(pool.look(2)) << name_of(algorithm);
        EXPECT_EQ(pool.row.part, 80U) << name_of(algorithm);
        EXPECT_EQ(pool.row.used, 5U) << name_of(algorithm);
        EXPECT_EQ(pool.row.weight, 4U) << name_of(algorithm);
    }
}

TEST(KeySharers, NeedIsWhatWasLatelyAskedForAtMostThePart) {
    Pool pool(limit_of_rate(Algorithm::kTokenBucket, "100r/m"));
    pool.ask(1, 7);
    pool.ask(2, 90);
    ASSERT_TRUE(pool.look(1));
    EXPECT_EQ(pool.row.need, 7U);
    ASSERT_TRUE(pool.look(2));
    EXPECT_EQ(pool.row.need, 50U);
}

TEST(KeySharers, WhatIsUsedComesBackWhileNobodyAsks) {
    Pool pool(limit_of_rate(Algorithm::kTokenBucket, "60r/m"));
    pool.ask(1, 20);
    pool.ask(2, 1);
    ASSERT_TRUE(pool.look(1, 20'000));
    EXPECT_EQ(pool.row.part, 30U);
    EXPECT_EQ(pool.row.used, 10U);
    pool.look(1, 10'000'000);  // it must not change the entry
    ASSERT_TRUE(pool.look(1, 20'000));
    EXPECT_EQ(pool.row.used, 10U);
}

TEST(KeySharers, SharerThatHasGoneIsNotShownAndHasNoPart) {
    Pool pool(limit_of_rate(Algorithm::kTokenBucket, "60r/m"));
    pool.ask(1, 20);
    pool.ask(2, 1);
    pool.ask(2, 1, 1, 100'000);
    EXPECT_FALSE(pool.look(1, 100'000));
    ASSERT_TRUE(pool.look(2, 100'000));
    EXPECT_EQ(pool.row.part, 60U);
}

TEST(KeySharers, SlotsThatAreInUseAreShownAlsoWhenTheSharerAsksNoMore) {
    Pool pool(concurrency_limit(4));
    pool.ask(1, 3);
    ASSERT_TRUE(pool.look(1));
    EXPECT_EQ(pool.row.part, 4U);
    EXPECT_EQ(pool.row.used, 3U);
    ASSERT_TRUE(pool.look(1, 300'000));
    EXPECT_EQ(pool.row.part, 0U);
    EXPECT_EQ(pool.row.used, 3U);
}

TEST(KeySharers, EachHasPartOfOneSlotWhereTheyAreMoreThanSlots) {
    Pool pool(concurrency_limit(2));
    for (uint64_t sharer = 1; sharer <= 5; ++sharer) {
        pool.ask(sharer, 1);
    }
    ASSERT_TRUE(pool.look(5));
    EXPECT_EQ(pool.row.part, 1U);
    EXPECT_EQ(pool.row.used, 0U);
    EXPECT_EQ(pool.row.need, 1U);
}

TEST(KeySharers, LimitOfAVariableIsOneThatThePolicyHasHad) {
    Pool pool(limit_of_rate(Algorithm::kTokenBucket, "100r/m"));
    pool.ask(1, 10);
    ASSERT_TRUE(pool.look(1, 0, false));
    EXPECT_EQ(pool.row.part, 100U);
}

TEST(KeySharers, PartOfOneNodeIsSmallerWhereNodesDivideTheLimit) {
    Pool pool(limit_of_rate(Algorithm::kTokenBucket, "100r/m"));
    pool.ask(1, 1);
    pool.ask(2, 1);
    ASSERT_TRUE(pool.look(1, 0, true, 5));
    EXPECT_EQ(pool.row.part, 10U);
}

TEST(KeySharers, RowsAreOrderedByKeyAndThenByUse) {
    SharerRows rows{};
    const auto add = [&](const char* key, uint64_t used) {
        SharerRow row{};
        write_shown_name(key, &row.key);
        row.used = used;
        add_row(row, &rows);
    };
    add("key:b", 5);
    add("key:a", 1);
    add("key:b", 9);
    add("key:a", 3);
    ASSERT_EQ(rows.count, 4U);
    EXPECT_EQ(rows.rows[0].used, 3U);
    EXPECT_EQ(rows.rows[1].used, 1U);
    EXPECT_EQ(rows.rows[2].used, 9U);
    EXPECT_EQ(rows.rows[3].used, 5U);
}

}  // namespace
}  // namespace ai_limit
