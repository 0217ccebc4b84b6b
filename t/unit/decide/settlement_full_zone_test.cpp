// Tests reservations in a zone that has no room left.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/decide/settlement.h"
#include "random.h"
#include "token_zone.h"

namespace ai_limit {
namespace {

using namespace token_zone;
using Fixture = TokenZone;

TEST(SettlementInAFullZone, FitsSixteenPoliciesOfARequestIntoTheJournal) {
    // Each hold moves an entry away, and each bucket is another one.
    Fixture f({256, 8, 16});
    const ZonePolicy other = add_policy(f.zone, "other", hourly(Algorithm::kTokenBucket, 9));
    std::vector<TokenPolicy> policies;
    for (size_t i = 0; i < kMaxSetPolicies; ++i) {
        policies.push_back(
            f.tokens(Algorithm::kTokenBucket, "1000t/h", ("p" + std::to_string(i)).c_str()));
    }
    Random random(1);
    for (int i = 0; i < 1150; ++i) {
        ASSERT_TRUE(Request(f.user).charge(other, random.below(UINT64_MAX)).admit(kNow));
    }
    for (int round = 0; round < 60; ++round) {
        uint64_t hashes[kMaxSetPolicies];
        Request request(f.user);
        for (size_t i = 0; i < kMaxSetPolicies; ++i) {
            hashes[i] = random.below(UINT64_MAX);
            request.charge_tokens(policies[i], hashes[i], 10);
        }
        ASSERT_TRUE(request.admit(kNow));
        ASSERT_EQ(flights_in(f.zone), kMaxSetPolicies);
        for (size_t i = 0; i < kMaxSetPolicies; ++i) {
            ASSERT_EQ(f.held(policies[i], hashes[i]), 10u);
            ASSERT_EQ(request.settle(i, 3, kNow), 0u);
            ASSERT_EQ(f.used(policies[i], hashes[i]), 3u);
        }
        ASSERT_EQ(flights_in(f.zone), 0u);
        ASSERT_TRUE(is_at_rest(f.zone));
    }
}

class TokenSettlementInAFullZone : public testing::TestWithParam<OnFull> {
protected:
    /** Fills the zone with entries that refuse. */
    static void fill(const Fixture& f) {
        const ZonePolicy policy = add_policy(f.zone, "other", hourly(Algorithm::kTokenBucket, 1));
        Random random(2);
        for (int i = 0; i < 2000; ++i) {
            const uint64_t hash = random.below(UINT64_MAX);
            Request(f.user).charge(policy, hash).admit(kNow);
            Request(f.user).charge(policy, hash).admit(kNow);
        }
    }

    /** Unless another entry makes room, the zone may have none for what a key has used. */
    static void expect_used(Amount used, Amount expected) {
        EXPECT_TRUE(used == expected || (used == 0 && GetParam() != OnFull::kEvict)) << used;
    }
};

INSTANTIATE_TEST_SUITE_P(Each, TokenSettlementInAFullZone,
                         testing::Values(OnFull::kEvict, OnFull::kAllow, OnFull::kReject),
                         [](const auto& info) {
                             return info.param == OnFull::kEvict   ? "evict"
                                    : info.param == OnFull::kAllow ? "allow"
                                                                   : "reject";
                         });

TEST_P(TokenSettlementInAFullZone, FollowsOnFullForAReservationWithoutRoom) {
    Fixture f({8, 8, 16}, GetParam());
    const TokenPolicy policy = f.tokens(Algorithm::kSlidingWindow, "1000t/h");
    fill(f);
    Request request(f.user);
    EXPECT_EQ(request.charge_tokens(policy, 42, 100).admit(kNow), GetParam() != OnFull::kReject);
    const Verdict expected[] = {Verdict::kPassed, Verdict::kUncounted, Verdict::kZoneFull};
    EXPECT_EQ(request[0].verdict, expected[static_cast<int>(GetParam())]);
    const Amount held = GetParam() == OnFull::kEvict ? 100 : 0;
    EXPECT_EQ(f.held(policy, 42), held);
    EXPECT_EQ(request.reservation(0).flight != nullptr, held != 0);
    EXPECT_EQ(flights_in(f.zone), held != 0 ? 1u : 0u);
    if (GetParam() != OnFull::kReject) {
        EXPECT_EQ(request.settle(0, 60, kNow), 0u);
        EXPECT_EQ(f.used(policy, 42), 60u) << "for whose entry there was room";
    }
    EXPECT_EQ(flights_in(f.zone), 0u);
}

/** Fifteen requests that have reserved 100 tokens, each for a key of its own, which it names. */
std::vector<std::pair<Request, uint64_t>> hold_fifteen(const Fixture& f,
                                                       const TokenPolicy& policy) {
    std::vector<std::pair<Request, uint64_t>> held;
    Random random(3);
    for (int i = 0; i < 15; ++i) {
        const uint64_t hash = random.below(UINT64_MAX);
        held.emplace_back(f.admitted(policy, hash, 100), hash);
    }
    return held;
}

TEST_P(TokenSettlementInAFullZone, ForgetsNoReservation) {
    Fixture f({8, 8, 16}, GetParam());
    const TokenPolicy policy = f.tokens(Algorithm::kTokenBucket, "1000t/h");
    std::vector<std::pair<Request, uint64_t>> held = hold_fifteen(f, policy);
    fill(f);
    for (auto& [request, hash] : held) {
        ASSERT_EQ(f.held(policy, hash), 100u);
        ASSERT_EQ(request.settle(0, 0, kNow), 0u);
        ASSERT_EQ(f.held(policy, hash), 0u);
    }
    EXPECT_EQ(flights_in(f.zone), 0u);
    EXPECT_EQ(entries_of(f.zone, policy.held), 0u);
}

TEST_P(TokenSettlementInAFullZone, GrowsReservationsThatWereThereBefore) {
    Fixture f({8, 8, 16}, GetParam());
    const TokenPolicy policy = f.tokens(Algorithm::kTokenBucket, "1000t/h");
    std::vector<std::pair<Request, uint64_t>> held = hold_fifteen(f, policy);
    fill(f);
    for (auto& [request, hash] : held) {
        ASSERT_EQ(request.grow(0, 250, kNow), 250u);
        ASSERT_EQ(f.held(policy, hash), 350u);
    }
    for (auto& [request, hash] : held) {
        request.settle(0, 300, kNow);
        ASSERT_EQ(f.held(policy, hash), 0u);
        expect_used(f.used(policy, hash), 300);
    }
    EXPECT_EQ(flights_in(f.zone), 0u);
    EXPECT_TRUE(is_at_rest(f.zone));
}

TEST_P(TokenSettlementInAFullZone, FollowsOnFullForAReservationThatBeginsToGrow) {
    Fixture f({8, 8, 16}, GetParam());
    const TokenPolicy policy = f.tokens(Algorithm::kTokenBucket, "1000t/h");
    Request request = f.admitted(policy, 42, 0);
    fill(f);
    const Amount expected[] = {250, 250, 0};
    EXPECT_EQ(request.grow(0, 250, kNow), expected[static_cast<int>(GetParam())]);
    EXPECT_EQ(f.held(policy, 42), GetParam() == OnFull::kEvict ? 250u : 0u);
    request.settle(0, 60, kNow);
    expect_used(f.used(policy, 42), 60);
    EXPECT_EQ(f.held(policy, 42), 0u);
    EXPECT_EQ(flights_in(f.zone), 0u);
}

TEST_P(TokenSettlementInAFullZone, ReservesNothingIfNoRecordIsLeft) {
    Fixture f({64, 8, 1}, GetParam());
    const TokenPolicy policy = f.tokens(Algorithm::kTokenBucket, "1000t/h");
    std::vector<Request> held;
    for (uint32_t i = 0; i < kFlightsPerChunk; ++i) {
        held.push_back(f.admitted(policy, 42, 1));
    }
    Request request(f.user);
    EXPECT_EQ(request.charge_tokens(policy, 42, 1).admit(kNow), GetParam() == OnFull::kAllow);
    EXPECT_EQ(request.reservation(0).flight, nullptr);
    EXPECT_EQ(f.held(policy, 42), kFlightsPerChunk);
    EXPECT_TRUE(f.admits(policy, 42, 0)) << "which needs none";
    for (Request& one : held) {
        one.settle(0, 1, kNow);
    }
    EXPECT_EQ(f.used(policy, 42), kFlightsPerChunk);
    EXPECT_EQ(f.admitted(policy, 42, 1)[0].verdict, Verdict::kPassed);
}

}  // namespace
}  // namespace ai_limit
