// Tests a zone that is copied into one of another size.

#include <gtest/gtest.h>

#include <vector>

#include "core/carry/migration.h"
#include "random.h"
#include "rate_zone.h"

namespace ai_limit {
namespace {

using namespace rate_zone;
using Fixture = RateZone;

struct Migrated {
    const char* name;
    ZoneSizes from;
    ZoneSizes to;
};

class Migration : public testing::TestWithParam<Migrated> {};

INSTANTIATE_TEST_SUITE_P(
    Zone, Migration,
    testing::Values(Migrated{"larger", {256, 256, 8}, {1024, 512, 16}},
                    Migrated{"smaller", {1024, 512, 16}, {256, 256, 8}},
                    Migrated{"with_wide_entries_too", {512, 0, 8}, {256, 64, 8}},
                    Migrated{"without_wide_entries", {512, 64, 8}, {256, 0, 8}},
                    Migrated{"of_the_same_size", {256, 256, 8}, {256, 256, 8}}),
    [](const auto& info) { return info.param.name; });

TEST_P(Migration, KeepsWhatWasUsedAndWhatIsInFlight) {
    Fixture f(GetParam().from);
    bool wide = GetParam().from.wide_buckets != 0 && GetParam().to.wide_buckets != 0;
    ZonePolicy bucket = f.policy("bucket", Algorithm::kTokenBucket, 100);
    ZonePolicy fixed = f.policy("fixed", Algorithm::kFixedWindow, 100);
    ZonePolicy slots = f.policy("slots", Algorithm::kConcurrency, 100);
    ZonePolicy sliding = f.policy("sliding", Algorithm::kSlidingWindow, 100);
    ZoneUser worker(f.zone, &kHost, 2);
    Random random(19);
    struct Key {
        uint64_t hash;
        Amount cost;
        unsigned in_flight;
    };
    std::vector<Key> keys;
    for (int i = 0; i < 60; ++i) {
        Key key = {random.below(UINT64_MAX), random.scaled(100), static_cast<unsigned>(i) % 4};
        keys.push_back(key);
        ASSERT_TRUE(Request(worker).charge(bucket, key.hash, key.cost).admit(kNow));
        ASSERT_TRUE(Request(worker).charge(fixed, key.hash, key.cost).admit(kNow));
        ASSERT_TRUE(!wide || Request(worker).charge(sliding, key.hash, key.cost).admit(kNow));
        for (unsigned n = 0; n < key.in_flight; ++n) {
            ASSERT_TRUE(Request(worker).charge(slots, key.hash).admit(kNow));
        }
    }

    ZoneMemory to(GetParam().to);
    copy_zone(f.user.journal(), to.zone(), kNow);
    ZoneUser next(to.zone(), &kHost, 3);
    ASSERT_TRUE(is_at_rest(to.zone()));
    EXPECT_EQ(add_policy(to.zone(), "fixed", fixed.limit).number, fixed.number);
    for (const Key& key : keys) {
        EXPECT_EQ(peek(next, bucket, key.hash, kNow), key.cost);
        EXPECT_EQ(peek(next, fixed, key.hash, kNow), key.cost);
        EXPECT_EQ(peek(next, slots, key.hash, kNow), key.in_flight);
        EXPECT_EQ(wide ? peek(next, sliding, key.hash, kNow) : key.cost, key.cost);
    }
    // The worker that has them in flight ends: the others notice.
    static bool gone;
    gone = false;
    static const Host kOthersLive = {[](uint32_t pid, uint64_t) { return pid != 2 || !gone; },
                                     [] {}};
    ZoneUser sweeper(to.zone(), &kOthersLive, 4);
    reclaim_dead(sweeper.journal(), Now{});
    EXPECT_EQ(peek(next, slots, keys[1].hash, kNow), 1u);
    gone = true;
    reclaim_dead(sweeper.journal(), Now{});
    for (const Key& key : keys) {
        EXPECT_EQ(peek(next, slots, key.hash, kNow), 0u);
    }
    EXPECT_EQ(flights_in(to.zone()), 0u);
}

TEST(MigrationToASmallerZone, LosesIdleAndLiveKeysBeforeRefusedOnes) {
    Fixture f({512, 0, 1});
    ZonePolicy policy = f.policy("p", Algorithm::kTokenBucket, 2);
    Random random(20);
    std::vector<uint64_t> refused;
    for (int i = 0; i < 1500; ++i) {
        uint64_t key = random.below(UINT64_MAX);
        bool idle = i % 3 == 0;
        bool refuses = i % 100 == 50;
        ASSERT_TRUE(
            f.take(policy, key, idle && !refuses ? kNow : later(2 * kHour), refuses ? 2 : 1));
        if (refuses) {
            ASSERT_FALSE(f.take(policy, key, later(2 * kHour)));
            refused.push_back(key);
        }
    }
    ZoneMemory to({32, 0, 1});
    copy_zone(f.user.journal(), to.zone(), later(2 * kHour));
    ZoneUser next(to.zone(), &kHost, 3);
    for (uint64_t key : refused) {
        EXPECT_EQ(peek(next, policy, key, later(2 * kHour)), 2u);
    }
}

}  // namespace
}  // namespace ai_limit
