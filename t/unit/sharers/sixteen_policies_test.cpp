// As many policies as one request can have, each with all the charges that a policy can have.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/policies/redis_clock.h"
#include "random.h"
#include "token_zone.h"

namespace ai_limit {
namespace {

using namespace token_zone;

constexpr Amount kReserved = 10;
constexpr Amount kSpent = 3;

struct Policy {
    TokenPolicy tokens;
    ZonePolicy sharer;
    ZonePolicy ledger;
};

/** A zone in which each entry that is made moves another one away: all its buckets are full. */
struct SixteenPolicies : testing::Test {
    static ZoneSizes sizes() {
        ZoneSizes sizes{};
        sizes.small_buckets = 256;
        sizes.wide_buckets = 64;
        sizes.flight_chunks = 16;
        sizes.activity_sets = 16;
        return sizes;
    }

    SixteenPolicies() : zone(sizes()) {
        for (size_t i = 0; i < kMaxSetPolicies; ++i) {
            const std::string name = "p" + std::to_string(i);
            Policy policy{};
            policy.tokens = zone.tokens(Algorithm::kSlidingWindow, "1000t/h", name.c_str());
            policy.sharer = add_policy(zone.zone, name.c_str(), sharer_limit(false));
            policy.ledger = add_policy(zone.zone, name.c_str(), ledger_limit());
            policies.push_back(policy);
        }
        start_redis_clock(zone.zone, kNow);
        const ZonePolicy small = add_policy(zone.zone, "small", hourly(kRates[0], 9));
        const ZonePolicy wide = add_policy(zone.zone, "wide", hourly(kRates[1], 9));
        for (int i = 0; i < 2'000; ++i) {
            Request(zone.user).charge(small, random.below(UINT64_MAX)).admit(kNow);
            Request(zone.user).charge(wide, random.below(UINT64_MAX)).admit(kNow);
        }
    }

    Request request() {
        Request one(zone.user);
        hashes.clear();
        for (const Policy& policy : policies) {
            hashes.push_back(random.below(UINT64_MAX));
            one.charge_tokens(policy.tokens, hashes.back(), kReserved)
                .for_sharer(policy.sharer, random.below(UINT64_MAX))
                .with_ledger(policy.ledger);
        }
        return one;
    }

    Random random{1};
    TokenZone zone;
    std::vector<Policy> policies;
    std::vector<uint64_t> hashes;  // of the latest request
};

TEST_F(SixteenPolicies, WithReservationsSharersAndLedgersAreOneDecision) {
    const auto rests = [this] {
        const JournalData& journal = *zone.zone.journal(zone.user.journal()->number() + 1);
        return is_at_rest(zone.zone) && journal.locks == 0 && journal.undos == 0;
    };
    for (int round = 0; round < 100; ++round) {
        Request one = request();
        ASSERT_TRUE(one.admit(kNow));
        ASSERT_TRUE(rests()) << "nothing is written behind the journal of this process";
        for (size_t i = 0; i < kMaxSetPolicies; ++i) {
            ASSERT_EQ(one[i].verdict, Verdict::kPassed) << i;
            ASSERT_TRUE(one.sharer(i).part.is_own) << i;
            ASSERT_EQ(one.settle(i, kSpent, kNow), 0U) << i;
            ASSERT_EQ(zone.used(policies[i].tokens, hashes[i]), kSpent) << i;
            ASSERT_EQ(zone.held(policies[i].tokens, hashes[i]), 0U) << i;
        }
        ASSERT_TRUE(rests());
    }
}

TEST_F(SixteenPolicies, LookingAtThemAllChangesNothing) {
    Request one = request();
    EXPECT_TRUE(one.would_admit(kNow));
    EXPECT_EQ(flights_in(zone.zone), 0U);
    EXPECT_TRUE(is_at_rest(zone.zone));
}

}  // namespace
}  // namespace ai_limit
