// Tests the growth of what is reserved for a request in flight.

#include "core/decide/growth.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "token_zone.h"

namespace ai_limit {
namespace {

using namespace token_zone;
using Fixture = TokenZone;

class Growing : public testing::TestWithParam<Algorithm> {};

INSTANTIATE_TEST_SUITE_P(EachAlgorithm, Growing, testing::ValuesIn(kRates),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(Growing, ReservesWhatIsLeftOfTheLimitAndNoMore) {
    Fixture f;
    const TokenPolicy policy = f.tokens(GetParam(), "1000t/h");
    f.admitted(policy, 42, 100).settle(0, 100, kNow);
    Request other = f.admitted(policy, 42, 200);
    Request request = f.admitted(policy, 42, 300);
    EXPECT_EQ(request.grow(0, 250, kNow), 250u);
    EXPECT_EQ(f.held(policy, 42), 750u);
    EXPECT_EQ(request.grow(0, 250, kNow), 150u) << "the part that fits";
    EXPECT_EQ(request.grow(0, 250, kNow), 0u);
    EXPECT_FALSE(f.admits(policy, 42, 0));
    other.settle(0, 0, kNow);
    EXPECT_EQ(request.grow(0, 250, kNow), 200u);
    EXPECT_EQ(f.used(policy, 42), 100u) << "a reservation is no use";
}

TEST_P(Growing, IsRefundedWithTheRest) {
    Fixture f;
    const TokenPolicy policy = f.tokens(GetParam(), "1000t/h");
    Request request = f.admitted(policy, 42, 300);
    request.grow(0, 500, kNow);
    EXPECT_EQ(request.settle(0, 310, kNow), 0u);
    EXPECT_EQ(f.held(policy, 42), 0u);
    EXPECT_EQ(f.used(policy, 42), 310u);
    EXPECT_EQ(flights_in(f.zone), 0u);
}

TEST_P(Growing, BeginsAReservationWithWhatFits) {
    Fixture f;
    const TokenPolicy policy = f.tokens(GetParam(), "1000t/h");
    Request request = f.admitted(policy, 42, 0);
    f.admitted(policy, 42, 900);
    EXPECT_EQ(request.grow(0, 250, kNow), 100u);
    EXPECT_EQ(f.held(policy, 42), 1000u);
    EXPECT_EQ(flights_in(f.zone), 2u);
    request.settle(0, 70, kNow);
    EXPECT_EQ(f.held(policy, 42), 900u);
    EXPECT_EQ(f.used(policy, 42), 70u);
}

TEST_P(Growing, BeginsNoReservationIfNothingIsLeft) {
    Fixture f;
    const TokenPolicy policy = f.tokens(GetParam(), "1000t/h");
    Request request = f.admitted(policy, 42, 0);
    f.admitted(policy, 42, 0).settle(0, 3000, kNow);
    EXPECT_EQ(request.grow(0, 250, kNow), 0u);
    EXPECT_EQ(request.reservation(0).flight, nullptr);
    EXPECT_EQ(flights_in(f.zone), 0u);
}

TEST_P(Growing, ReservesWhatOthersHaveDecidedEvenIfItDoesNotFitHere) {
    Fixture f;
    const TokenPolicy policy = f.tokens(GetParam(), "1000t/h");
    Request request = f.admitted(policy, 42, 900);
    EXPECT_EQ(request.grow(0, 250, kNow, true), 250u);
    EXPECT_EQ(f.held(policy, 42), 1150u);
    EXPECT_EQ(request.grow(0, 250, kNow), 0u);
    request.settle(0, 0, kNow);
    EXPECT_EQ(f.held(policy, 42), 0u);
}

TEST_P(Growing, TimeMakesRoom) {
    Fixture f;
    const TokenPolicy policy = f.tokens(GetParam(), "1000t/h");
    Request request = f.admitted(policy, 42, 400);
    f.admitted(policy, 42, 600).settle(0, 600, kNow);
    EXPECT_EQ(request.grow(0, 250, kNow), 0u);
    EXPECT_EQ(request.grow(0, 250, later(kHour)), 250u);
}

TEST_P(Growing, FindsNoRoomInALimitThatHasShrunk) {
    Fixture f;
    const TokenPolicy policy = f.tokens(GetParam(), "1000t/h");
    Request request = f.admitted(policy, 42, 400);
    const Limit smaller = limit_of_rate(GetParam(), "300t/h");
    EXPECT_EQ(grow_reservation(f.user.journal(),
                               {&smaller, request[0].tag, request[0].policy, 10,
                                request.reservation(0).flight, false},
                               kNow),
              0u);
}

TEST_P(Growing, IsExactIfManyRequestsGrowAtOnce) {
    Fixture f;
    const TokenPolicy policy = f.tokens(GetParam(), "10000t/h");
    constexpr int kThreads = 4;
    std::vector<std::unique_ptr<ZoneUser>> users;
    std::vector<Request> requests;
    for (uint32_t i = 0; i < kThreads; ++i) {
        users.push_back(std::make_unique<ZoneUser>(f.zone, &kHost, 10 + i));
        requests.emplace_back(*users.back());
        ASSERT_TRUE(requests.back().charge_tokens(policy, 42, 10).admit(kNow));
    }
    std::vector<std::thread> threads;
    Amount granted[kThreads] = {};
    for (size_t i = 0; i < kThreads; ++i) {
        threads.emplace_back([&, i] {
            for (int step = 0; step < 500; ++step) {
                granted[i] += requests[i].grow(0, 7, kNow);
            }
        });
    }
    Amount sum = 10 * kThreads;
    for (int i = 0; i < kThreads; ++i) {
        threads[static_cast<size_t>(i)].join();
        sum += granted[i];
    }
    EXPECT_EQ(sum, 10'000u);
    EXPECT_EQ(f.held(policy, 42), 10'000u);
    EXPECT_TRUE(is_at_rest(f.zone));
}

TEST(GrowingInAFullZone, CountsNothingIfTheZoneAllowsThat) {
    for (const OnFull on_full : {OnFull::kAllow, OnFull::kReject}) {
        Fixture f({64, 8, 1}, on_full);
        const TokenPolicy policy = f.tokens(Algorithm::kTokenBucket, "1000t/h");
        for (uint32_t i = 0; i < kFlightsPerChunk; ++i) {
            f.admitted(policy, 1000 + i, 1);
        }
        Request request = f.admitted(policy, 42, 0);
        EXPECT_EQ(request.grow(0, 250, kNow), on_full == OnFull::kAllow ? 250u : 0u);
        EXPECT_EQ(f.held(policy, 42), 0u);
        request.settle(0, 60, kNow);
        EXPECT_EQ(f.used(policy, 42), 60u);
    }
}

}  // namespace
}  // namespace ai_limit
