// Tests which entries a full table forgets, and which it never does.

#include "core/buckets/eviction.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "random.h"
#include "rate_zone.h"

namespace ai_limit {
namespace {

using namespace rate_zone;
using Fixture = RateZone;

class EvictionOrder : public testing::TestWithParam<Algorithm> {};

INSTANTIATE_TEST_SUITE_P(EachAlgorithm, EvictionOrder, testing::ValuesIn(kRates),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(EvictionOrder, EvictsIdleThenLiveThenSpentThenRefusedKeys) {
    Fixture f({8, 8, 1});
    ZonePolicy policy = f.policy("p", GetParam(), 4);
    const Geometry& geometry = geometry_of(GetParam());
    const uint64_t share = f.cells(geometry) / 4;
    Random random(3);
    enum Kind { kIdle, kLive, kSpent, kRefused, kKinds };
    std::vector<uint64_t> keys[kKinds];
    Now begin = kNow;
    Now now = later(3 * kHour);  // what is idle has come back by now
    auto add = [&](Kind kind) {
        for (int tries = 0; tries < 100'000; ++tries) {
            uint64_t key = random.below(UINT64_MAX);
            uint64_t tag = tag_of(tag_base(key), policy.number);
            if (find_tag(first_bucket(f.zone, geometry, tag, policy.number), geometry, 0) ==
                kNoCell) {
                continue;
            }
            Now when = kind == kIdle ? begin : now;
            Amount cost = kind == kIdle || kind == kLive ? 1 : 4;
            ASSERT_TRUE(f.take(policy, key, when, cost));
            if (kind == kRefused) {
                ASSERT_FALSE(f.take(policy, key, when));
            }
            keys[kind].push_back(key);
            return;
        }
    };
    // Fills each bucket, and makes it likely that each pair of buckets holds some of each kind.
    for (uint64_t i = 0; i < share * 4; ++i) {
        add(static_cast<Kind>(i % kKinds));
    }
    auto present = [&](Kind kind) {
        return static_cast<uint64_t>(
            std::count_if(keys[kind].begin(), keys[kind].end(), [&](uint64_t key) {
                uint64_t tag = tag_of(tag_base(key), policy.number);
                return find_tag(first_bucket(f.zone, geometry, tag, policy.number), geometry,
                                tag) != kNoCell ||
                       find_tag(second_bucket(f.zone, geometry, tag), geometry, tag) != kNoCell;
            }));
    };
    for (int i = 0; i < 3000; ++i) {
        uint64_t key = random.below(UINT64_MAX);
        uint64_t tag = tag_of(tag_base(key), policy.number);
        Bucket* buckets[] = {first_bucket(f.zone, geometry, tag, policy.number),
                             second_bucket(f.zone, geometry, tag)};
        Worth least = Worth::kInFlight;
        for (const Bucket* bucket : buckets) {
            for (uint32_t cell = 0; cell < geometry.cells; ++cell) {
                least = std::min(
                    least,
                    appraise(f.zone, geometry, {const_cast<Bucket*>(bucket), cell}, now).worth);
            }
        }
        uint64_t before[] = {present(kIdle), present(kLive), present(kSpent), present(kRefused)};
        ASSERT_TRUE(f.take(policy, key, now));
        uint64_t after[] = {present(kIdle), present(kLive), present(kSpent), present(kRefused)};
        ASSERT_TRUE(after[kLive] == before[kLive] || least >= Worth::kLive);
        ASSERT_TRUE(after[kSpent] == before[kSpent] || least >= Worth::kSpent);
        ASSERT_TRUE(after[kRefused] == before[kRefused] || least >= Worth::kRefused);
    }
    EXPECT_EQ(present(kIdle), 0u);
    EXPECT_EQ(present(kRefused), keys[kRefused].size());
}

TEST_P(EvictionOrder, KeepsARefusedKeyRefusedWhileRandomKeysPass) {
    Fixture f({64, 64, 1});
    ZonePolicy policy = f.policy("p", GetParam(), 10);
    Random random(9);
    std::vector<uint64_t> refused;
    for (int i = 0; i < 20; ++i) {
        refused.push_back(random.below(UINT64_MAX));
        ASSERT_TRUE(f.take(policy, refused.back(), kNow, 10));
        ASSERT_FALSE(f.take(policy, refused.back()));
    }
    for (int i = 0; i < 100'000; ++i) {
        ASSERT_TRUE(f.take(policy, random.below(UINT64_MAX), later(i / 100)));
    }
    for (uint64_t key : refused) {
        EXPECT_FALSE(f.take(policy, key, later(1000), 10));
    }
}

TEST_P(EvictionOrder, KeepsARefusedKeyRefusedWhileRandomKeysAreSpentAtOnce) {
    // The attacker's own keys are worth little less than what they are to push out.
    Fixture f({64, 64, 1});
    ZonePolicy policy = f.policy("p", GetParam(), 1);
    Random random(10);
    ASSERT_TRUE(f.take(policy, 42));
    ASSERT_FALSE(f.take(policy, 42));
    for (int i = 0; i < 100'000; ++i) {
        ASSERT_TRUE(f.take(policy, random.below(UINT64_MAX), later(i / 100)));
    }
    EXPECT_FALSE(f.take(policy, 42, later(1000)));
}

TEST_P(EvictionOrder, KeepsARefusedKeyRefusedWhileRandomKeysAreRefusedToo) {
    Fixture f({64, 64, 1});
    ZonePolicy policy = f.policy("p", GetParam(), 1);
    Random random(11);
    ASSERT_TRUE(f.take(policy, 42));
    ASSERT_FALSE(f.take(policy, 42));
    for (int i = 0; i < 50'000; ++i) {
        uint64_t key = random.below(UINT64_MAX);
        f.take(policy, key, later(100 + i / 100));
        f.take(policy, key, later(100 + i / 100));
    }
    EXPECT_FALSE(f.take(policy, 42, later(1000)));
}

/** A key whose entry for the policy has the bucket as its first, and another as its second. */
uint64_t key_in_bucket(const Zone& zone, const Geometry& geometry, uint32_t policy, uint64_t index,
                       Random* random) {
    while (true) {
        uint64_t key = random->below(UINT64_MAX);
        uint64_t tag = tag_of(tag_base(key), policy);
        Bucket* bucket = zone.bucket(geometry, index);
        if (first_bucket(zone, geometry, tag, policy) == bucket &&
            second_bucket(zone, geometry, tag) != bucket) {
            return key;
        }
    }
}

TEST_P(EvictionOrder, FitsSeveralChargesOfADecisionIntoOneBucket) {
    Fixture f({8, 8, 1});
    const Geometry& geometry = geometry_of(GetParam());
    ZonePolicy policies[4] = {f.policy("a", GetParam(), 9), f.policy("b", GetParam(), 9),
                              f.policy("c", GetParam(), 9), f.policy("d", GetParam(), 9)};
    Random random(13);
    for (int round = 0; round < 500; ++round) {
        uint64_t keys[4];
        Request request(f.user);
        for (int i = 0; i < 4; ++i) {
            keys[i] = key_in_bucket(f.zone, geometry, policies[i].number, 3, &random);
            request.charge(policies[i], keys[i]);
        }
        ASSERT_TRUE(request.admit(kNow));
        for (int i = 0; i < 4; ++i) {
            ASSERT_EQ(f.used(policies[i], keys[i]), 1u) << "charge " << i << " of round " << round;
        }
        ASSERT_TRUE(is_at_rest(f.zone));
    }
}

TEST_P(EvictionOrder, EvictsNoRefusedKeyWhileThereIsRoom) {
    Fixture f({8, 8, 1});
    const Geometry& geometry = geometry_of(GetParam());
    ZonePolicy policies[2] = {f.policy("a", GetParam(), 9), f.policy("b", GetParam(), 9)};
    Random random(14);
    // All cells of a bucket but one hold keys that are refused.
    std::vector<uint64_t> refused;
    for (uint32_t i = 0; i + 1 < geometry.cells; ++i) {
        refused.push_back(key_in_bucket(f.zone, geometry, policies[0].number, 3, &random));
        ASSERT_TRUE(f.take(policies[0], refused.back(), kNow, 9));
        ASSERT_FALSE(f.take(policies[0], refused.back()));
    }
    Request request(f.user);
    for (const ZonePolicy& policy : policies) {
        request.charge(policy, key_in_bucket(f.zone, geometry, policy.number, 3, &random));
    }
    ASSERT_TRUE(request.admit(kNow));
    for (uint64_t key : refused) {
        EXPECT_EQ(f.used(policies[0], key), 9u) << "pushed out, though other buckets are empty";
    }
}

class FullZone : public testing::TestWithParam<OnFull> {
protected:
    void fill(Fixture* f, const ZonePolicy& policy, bool refused) {
        Random random(15);
        for (int i = 0; i < 2000; ++i) {
            uint64_t key = random.below(UINT64_MAX);
            f->take(policy, key);
            if (refused) {
                f->take(policy, key);
            }
        }
    }
};

INSTANTIATE_TEST_SUITE_P(Each, FullZone,
                         testing::Values(OnFull::kEvict, OnFull::kAllow, OnFull::kReject),
                         [](const auto& info) {
                             return info.param == OnFull::kEvict   ? "evict"
                                    : info.param == OnFull::kAllow ? "allow"
                                                                   : "reject";
                         });

TEST_P(FullZone, AcceptsNewKeysIfItIsFullOfLiveKeys) {
    Fixture f({8, 0, 1}, GetParam());
    ZonePolicy policy = f.policy("p", Algorithm::kTokenBucket, 10);
    fill(&f, policy, false);
    EXPECT_EQ(f.verdict(policy, 42), Verdict::kPassed);
    EXPECT_EQ(f.used(policy, 42), 1u);
}

TEST_P(FullZone, FollowsOnFullIfItIsFullOfRefusedKeys) {
    Fixture f({8, 0, 1}, GetParam());
    ZonePolicy policy = f.policy("p", Algorithm::kTokenBucket, 1);
    fill(&f, policy, true);
    Verdict expected[] = {Verdict::kPassed, Verdict::kUncounted, Verdict::kZoneFull};
    EXPECT_EQ(f.verdict(policy, 42), expected[static_cast<int>(GetParam())]);
    EXPECT_EQ(f.used(policy, 42), GetParam() == OnFull::kEvict ? 1u : 0u);
}

TEST_P(FullZone, ChargesNothingIfARequestFindsNoRoom) {
    Fixture f({8, 8, 1}, GetParam());
    ZonePolicy small = f.policy("small", Algorithm::kTokenBucket, 1);
    ZonePolicy wide = f.policy("wide", Algorithm::kSlidingWindow, 10);
    fill(&f, small, true);
    bool passed = Request(f.user).charge(wide, 42).charge(small, 42).admit(kNow);
    EXPECT_EQ(passed, GetParam() != OnFull::kReject);
    EXPECT_EQ(f.used(wide, 42), passed ? 1u : 0u);
}

TEST_P(FullZone, NeverForgetsRequestsInFlight) {
    Fixture f({8, 0, 4}, GetParam());
    ZonePolicy slots = f.policy("slots", Algorithm::kConcurrency, 1);
    ZonePolicy rate = f.policy("rate", Algorithm::kTokenBucket, 10);
    Random random(16);
    std::vector<std::pair<uint64_t, FlightRecord*>> held;
    for (int i = 0; i < 200; ++i) {
        uint64_t key = random.below(UINT64_MAX);
        Request request(f.user);
        request.charge(slots, key);
        if (request.admit(kNow) && request[0].flight != nullptr) {
            held.emplace_back(key, request[0].flight);
        }
    }
    ASSERT_EQ(held.size(), 40u);
    fill(&f, rate, false);
    for (const auto& [key, flight] : held) {
        ASSERT_EQ(f.used(slots, key), 1u);
        end_flight(f.user.access(), flight);
        ASSERT_EQ(f.used(slots, key), 0u);
    }
    EXPECT_EQ(flights_in(f.zone), 0u);
    fill(&f, rate, false);
    EXPECT_EQ(f.verdict(rate, 42), Verdict::kPassed);
}

TEST_P(FullZone, FollowsOnFullIfItIsFullOfRequestsInFlight) {
    Fixture f({8, 0, 4}, GetParam());
    ZonePolicy slots = f.policy("slots", Algorithm::kConcurrency, 1);
    Random random(17);
    for (int i = 0; i < 200; ++i) {
        Request(f.user).charge(slots, random.below(UINT64_MAX)).admit(kNow);
    }
    Request request(f.user);
    bool passed = request.charge(slots, 42).admit(kNow);
    EXPECT_EQ(passed, GetParam() == OnFull::kAllow);
    EXPECT_EQ(request[0].flight, nullptr);
}

}  // namespace
}  // namespace ai_limit
