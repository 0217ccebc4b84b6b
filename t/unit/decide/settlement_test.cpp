// Tests what policies in tokens reserve for requests in flight, and charge when these end.

#include "core/decide/settlement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "random.h"
#include "token_zone.h"

namespace ai_limit {
namespace {

using namespace token_zone;
using Fixture = TokenZone;

// --- one by one

class TokenSettlement : public testing::TestWithParam<Algorithm> {};

INSTANTIATE_TEST_SUITE_P(EachAlgorithm, TokenSettlement, testing::ValuesIn(kRates),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(TokenSettlement, ChargesWhatWasUsedAndRefundsTheRest) {
    Fixture f;
    const TokenPolicy policy = f.tokens(GetParam(), "1000t/h");
    Request request = f.admitted(policy, 42, 700);
    EXPECT_EQ(f.held(policy, 42), 700u);
    EXPECT_EQ(f.used(policy, 42), 0u);
    EXPECT_FALSE(f.admits(policy, 42, 301));
    EXPECT_TRUE(f.admits(policy, 42, 300));
    EXPECT_EQ(request.settle(0, 50, kNow), 0u);
    EXPECT_EQ(f.held(policy, 42), 0u);
    EXPECT_EQ(f.used(policy, 42), 50u);
    EXPECT_FALSE(f.admits(policy, 42, 951));
    EXPECT_TRUE(f.admits(policy, 42, 950));
}

TEST_P(TokenSettlement, TurnsUseBeyondTheLimitIntoADebtThatTimePaysOff) {
    Fixture f;
    const TokenPolicy policy = f.tokens(GetParam(), "1000t/h");
    Request request = f.admitted(policy, 42, 400);
    EXPECT_EQ(request.settle(0, 2500, kNow), 1500u);
    EXPECT_EQ(f.used(policy, 42), 2500u);
    EXPECT_EQ(f.zone.policy(policy.used.number)->overshoot.load(), 1500u);
    EXPECT_FALSE(f.admits(policy, 42, 0));
    // 1501 of it have come back then; the windows all of it.
    const Millis paid = GetParam() == Algorithm::kTokenBucket ? kHour * 1501 / 1000 : kHour;
    EXPECT_FALSE(f.admits(policy, 42, 0, later(paid - 1)));
    EXPECT_TRUE(f.admits(policy, 42, 0, later(paid)));
    EXPECT_EQ(f.used(policy, 42, later(3 * kHour)), 0u);
}

TEST_P(TokenSettlement, ReportsTheOvershootOfEachAnswerOnItsOwn) {
    Fixture f;
    const TokenPolicy policy = f.tokens(GetParam(), "1000t/h");
    Request first = f.admitted(policy, 42, 500);
    Request second = f.admitted(policy, 42, 500);
    EXPECT_EQ(first.settle(0, 1200, kNow), 200u);
    EXPECT_EQ(second.settle(0, 30, kNow), 30u);
    EXPECT_EQ(f.zone.policy(policy.used.number)->overshoot.load(), 230u);
}

TEST_P(TokenSettlement, PassesAReservationOfZeroWhileOneTokenRemains) {
    Fixture f;
    const TokenPolicy policy = f.tokens(GetParam(), "1000t/h");
    Request all_but_one = f.admitted(policy, 42, 999);
    ASSERT_EQ(flights_in(f.zone), 1u);
    Request nothing = f.admitted(policy, 42, 0);
    EXPECT_EQ(nothing.reservation(0).flight, nullptr);
    EXPECT_EQ(flights_in(f.zone), 1u);
    EXPECT_EQ(f.held(policy, 42), 999u);
    Request last = f.admitted(policy, 42, 1);
    EXPECT_FALSE(f.admits(policy, 42, 0)) << "none remains";
    EXPECT_EQ(nothing.settle(0, 7, kNow), 0u);
    EXPECT_EQ(f.used(policy, 42), 7u);
    EXPECT_EQ(f.held(policy, 42), 1000u);
    EXPECT_EQ(all_but_one.settle(0, 999, kNow), 6u);
    EXPECT_EQ(last.settle(0, 0, kNow), 0u);
    EXPECT_EQ(f.used(policy, 42), 1006u);
    EXPECT_EQ(flights_in(f.zone), 0u);
    EXPECT_EQ(entries_of(f.zone, policy.held), 0u);
}

TEST_P(TokenSettlement, LetsARefusedReservationOfZeroWaitUntilOneTokenRemains) {
    Fixture f;
    const TokenPolicy policy = f.tokens(GetParam(), "1000t/h");
    Request all = f.admitted(policy, 42, 1000);
    EXPECT_EQ(all.settle(0, 1000, kNow), 0u);
    Request request(f.user);
    ASSERT_FALSE(request.charge_tokens(policy, 42, 0).admit(kNow));
    const Millis wait = describe(policy.used.limit, request[0].state, 0, true, kNow).wait;
    EXPECT_FALSE(f.admits(policy, 42, 0, later(wait - 1)));
    EXPECT_TRUE(f.admits(policy, 42, 0, later(wait)));
    const TokenPolicy none = f.tokens(GetParam(), "0t/h", "none");
    Request never(f.user);
    ASSERT_FALSE(never.charge_tokens(none, 42, 0).admit(kNow));
    EXPECT_EQ(describe(none.used.limit, never[0].state, 0, true, kNow).wait, kNever);
}

TEST_P(TokenSettlement, ReservesNothingIfTheRequestIsRefused) {
    Fixture f;
    const TokenPolicy policy = f.tokens(GetParam(), "1000t/h");
    const TokenPolicy other = f.tokens(GetParam(), "9000t/h", "other");
    const ZonePolicy slots = add_policy(f.zone, "slots", hourly(Algorithm::kConcurrency, 9));
    Request request(f.user);
    request.charge(slots, 42).charge_tokens(other, 42, 600).charge_tokens(policy, 42, 1001);
    EXPECT_FALSE(request.admit(kNow));
    EXPECT_EQ(request[0].flight, nullptr);
    EXPECT_EQ(request.reservation(1).flight, nullptr);
    EXPECT_EQ(f.held(other, 42), 0u);
    EXPECT_EQ(look(f.user, slots, 42, kNow), 0u);
    EXPECT_EQ(flights_in(f.zone), 0u);
    EXPECT_EQ(entries_of(f.zone, other.held), 0u);
    EXPECT_EQ(entries_of(f.zone, other.used), 0u);
}

TEST_P(TokenSettlement, ReservesNothingForADryRunThatDoesNotFit) {
    Fixture f;
    const TokenPolicy policy = f.tokens(GetParam(), "1000t/h");
    f.admitted(policy, 42, 800);
    Request request(f.user);
    ASSERT_TRUE(request.charge_tokens(policy, 42, 300, true).admit(kNow));
    EXPECT_EQ(request[0].verdict, Verdict::kRefused);
    EXPECT_EQ(request.reservation(0).flight, nullptr);
    EXPECT_EQ(f.held(policy, 42), 800u);
    EXPECT_EQ(flights_in(f.zone), 1u);
}

TEST_P(TokenSettlement, ReservesNothingByLookingAhead) {
    Fixture f;
    const TokenPolicy policy = f.tokens(GetParam(), "1000t/h");
    Request request(f.user);
    request.charge_tokens(policy, 42, 600);
    EXPECT_TRUE(request.would_admit(kNow));
    EXPECT_TRUE(request.would_admit(kNow));
    EXPECT_EQ(flights_in(f.zone), 0u);
    EXPECT_EQ(f.held(policy, 42), 0u);
    Request other = f.admitted(policy, 42, 500);
    EXPECT_FALSE(request.admit(kNow)) << "which another took meanwhile";
    EXPECT_EQ(other.settle(0, 0, kNow), 0u);
    EXPECT_TRUE(request.admit(kNow));
    EXPECT_EQ(f.held(policy, 42), 600u);
}

TEST_P(TokenSettlement, ChargesEverythingUsedOnce) {
    // A month's quota is so slow that nothing noticeable comes back meanwhile.
    for (uint64_t seed = 1; seed <= 5; ++seed) {
        Fixture f;
        const TokenPolicy policy = f.tokens(GetParam(), "100Mt/month");
        Random random(seed);
        std::map<uint64_t, Amount> expected;
        std::vector<std::pair<Request, uint64_t>> held;
        const auto end_one = [&] {
            const size_t i = random.below(held.size());
            const Amount tokens = random.one_in(4) ? 0 : random.scaled(50'000);
            held[i].first.settle(0, tokens, kNow);
            expected[held[i].second] += tokens;
            held[i] = held.back();
            held.pop_back();
        };
        for (int i = 0; i < 600; ++i) {
            const uint64_t hash = (1 + random.below(30)) * 0x9E37'79B9'7F4A'7C15;
            held.emplace_back(f.admitted(policy, hash, random.scaled(40'000)), hash);
            while (held.size() > 20 || (!held.empty() && random.one_in(3))) {
                end_one();
            }
        }
        while (!held.empty()) {
            end_one();
        }
        for (const auto& [hash, used] : expected) {
            ASSERT_EQ(f.used(policy, hash), used);
        }
        EXPECT_EQ(flights_in(f.zone), 0u);
        EXPECT_EQ(entries_of(f.zone, policy.held), 0u);
    }
}

TEST_P(TokenSettlement, ReservesInTwoZonesOrInNone) {
    Fixture a;
    Fixture b;
    const TokenPolicy in_a = a.tokens(GetParam(), "1000t/h");
    const TokenPolicy in_b = b.tokens(GetParam(), "500t/h");
    PolicyCharge charges[2];
    Charge reservations[2];
    const auto begin = [&](Amount reserve) {
        size_t n = 0;
        for (const auto& [user, policy] : {std::pair{&a.user, &in_a}, std::pair{&b.user, &in_b}}) {
            begin_charge(&reservations[n],
                         {&policy->held.limit, user->access(), reserve, policy->held.number, false},
                         tag_base(42));
            begin_charge(&charges[n],
                         {&policy->used.limit, user->access(), reserve, policy->used.number, false},
                         tag_base(42));
            charges[n].reservation = &reservations[n];
            ++n;
        }
    };
    begin(501);
    EXPECT_FALSE(admit(charges, 2, kNow));
    EXPECT_EQ(a.held(in_a, 42), 0u);
    begin(500);
    ASSERT_TRUE(admit(charges, 2, kNow));
    EXPECT_EQ(a.held(in_a, 42), 500u);
    EXPECT_EQ(b.held(in_b, 42), 500u);
    settle_charge(&charges[1], 20, kNow);
    settle_charge(&charges[0], 30, kNow);
    EXPECT_EQ(a.used(in_a, 42), 30u);
    EXPECT_EQ(b.used(in_b, 42), 20u);
    EXPECT_EQ(flights_in(a.zone) + flights_in(b.zone), 0u);
    EXPECT_TRUE(is_at_rest(a.zone) && is_at_rest(b.zone));
}

// --- several at once

TEST(ThreadsThatHoldAndSettle, CountEverythingUsedAndLeaveNoReservation) {
    ZoneMemory memory({8, 8, 16});
    const Zone zone = memory.zone();
    std::vector<TokenPolicy> policies;
    for (const Algorithm algorithm : kRates) {
        policies.push_back(add_token_policy(zone, name_of(algorithm).c_str(),
                                            limit_of_rate(algorithm, "30kt/month")));
    }
    const ZonePolicy slots = add_policy(zone, "slots", hourly(Algorithm::kConcurrency, 1000));
    std::atomic<uint64_t> used[3] = {};
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            ZoneUser user(zone, &kHost, t + 1);
            Random random(t);
            std::vector<Request> held;
            const auto end_one = [&] {
                const size_t i = random.below(held.size());
                const Amount tokens = random.below(8);
                for (size_t p = 0; p < 3; ++p) {
                    // Each thread has another order.
                    EXPECT_EQ(held[i].settle(p, tokens, kNow), 0u);
                    used[(p + t) % 3] += tokens;
                }
                end_flight(user.access(), held[i][3].flight);
                held[i] = held.back();
                held.pop_back();
            };
            for (int i = 0; i < 2000; ++i) {
                Request request(user);
                for (size_t p = 0; p < 3; ++p) {
                    request.charge_tokens(policies[(p + t) % 3], 42, 8);
                }
                request.charge(slots, 42);
                if ((i % 3 != 0 || request.would_admit(kNow)) && request.admit(kNow)) {
                    held.push_back(request);
                }
                while (held.size() > 6 || (!held.empty() && random.one_in(2))) {
                    end_one();
                }
            }
            while (!held.empty()) {
                end_one();
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    ZoneUser observer(zone, &kHost, 9);
    for (size_t p = 0; p < 3; ++p) {
        EXPECT_GT(used[p], 20'000u);
        EXPECT_LE(used[p], 30'000u);
        EXPECT_EQ(look(observer, policies[p].used, 42, kNow), used[p]);
        EXPECT_EQ(entries_of(zone, policies[p].held), 0u);
    }
    EXPECT_EQ(look(observer, slots, 42, kNow), 0u);
    EXPECT_EQ(flights_in(zone), 0u);
    EXPECT_TRUE(is_at_rest(zone));
}

}  // namespace
}  // namespace ai_limit
