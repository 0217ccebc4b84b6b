// Tests the numbers that a zone gives to policies.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/policies/policies.h"
#include "rate_zone.h"

namespace ai_limit {
namespace {

using namespace rate_zone;
using Fixture = RateZone;

TEST(Policies, KeepTheirNumberByNameAndAlgorithm) {
    Fixture f({8, 8, 1});
    ZonePolicy a = f.policy("a", Algorithm::kTokenBucket, 10);
    ZonePolicy b = f.policy("b", Algorithm::kTokenBucket, 10);
    ZonePolicy window = f.policy("a", Algorithm::kFixedWindow, 10);
    EXPECT_NE(a.number, b.number);
    EXPECT_NE(a.number, window.number);
    EXPECT_EQ(f.policy("a", Algorithm::kTokenBucket, 500).number, a.number);
    EXPECT_EQ(f.policy("a", Algorithm::kFixedWindow, 500).number, window.number);
    EXPECT_NE(f.policy("ab", Algorithm::kTokenBucket, 10).number, a.number);
    std::string longest(kMaxPolicyName, 'x');
    uint32_t number = f.policy(longest.c_str(), Algorithm::kTokenBucket, 10).number;
    EXPECT_EQ(f.policy(longest.c_str(), Algorithm::kTokenBucket, 10).number, number);
}

TEST(Policies, StartAtZeroWithTheNumberOfTheLongestUnusedPolicy) {
    Fixture f({64, 8, 1});
    std::vector<ZonePolicy> policies;
    for (uint32_t i = 0; i < kMaxPolicies; ++i) {
        policies.push_back(
            f.policy(("p" + std::to_string(i)).c_str(), Algorithm::kTokenBucket, 10));
        ASSERT_EQ(policies.back().number, i + 1);
    }
    for (uint64_t key = 1; key <= 20; ++key) {
        uint64_t hash = key * 0x9E37'79B9'7F4A'7C15;
        ASSERT_TRUE(f.take(policies[0], hash, kNow, 10));
        ASSERT_TRUE(f.take(policies[1], hash, kNow, 10));
    }
    // All but the second are asked for again.
    for (uint32_t i = 0; i < kMaxPolicies; ++i) {
        if (i != 1) {
            f.policy(("p" + std::to_string(i)).c_str(), Algorithm::kTokenBucket, 10);
        }
    }
    ZonePolicy heir = f.policy("heir", Algorithm::kTokenBucket, 10);
    EXPECT_EQ(heir.number, policies[1].number);
    for (uint64_t key = 1; key <= 20; ++key) {
        uint64_t hash = key * 0x9E37'79B9'7F4A'7C15;
        EXPECT_EQ(f.used(heir, hash), 0u);
        EXPECT_EQ(f.used(policies[0], hash), 10u);
    }
}

TEST(Policies, DoNotInheritMistakesWithANumber) {
    Fixture f({8, 8, 1});
    for (uint32_t i = 0; i < kMaxPolicies; ++i) {
        uint32_t number =
            f.policy(("p" + std::to_string(i)).c_str(), Algorithm::kTokenBucket, 10).number;
        count_error(f.zone, number);
    }
    EXPECT_EQ(count_error(f.zone, f.policy("heir", Algorithm::kTokenBucket, 10).number), 1u);
}

}  // namespace
}  // namespace ai_limit
