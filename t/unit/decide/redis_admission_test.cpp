// Policies that several nodes share: their clock, and what the zone does with what another decides.

#include <gtest/gtest.h>

#include <thread>

#include "core/policies/redis_clock.h"
#include "zone_memory.h"

namespace ai_limit {
namespace {

constexpr Millis kHour = 3'600'000;
constexpr Now kNow{5 * kHour, 1'755'777'600'000};
const Host kHost = {[](uint32_t, uint64_t) { return true; }, [] { std::this_thread::yield(); }};

constexpr Now later(Millis millis, Millis wall_steps = 0) {
    return {kNow.monotonic + millis, kNow.wall + millis + wall_steps};
}

struct Fixture {
    explicit Fixture(const ZoneSizes& sizes = {64, 64, 16}, OnFull on_full = OnFull::kEvict)
        : memory(sizes), zone(memory.zone()), user(zone, &kHost, 1, 0, on_full) {
        start_redis_clock(zone, kNow);
    }

    PolicyCharge asked(const ZonePolicy& policy, Decider decider, Amount cost = 1) const {
        Ask ask{&policy.limit, user.access(), cost, policy.number, false};
        ask.decider = decider;
        PolicyCharge charge;
        begin_charge(&charge, ask, tag_base(77));
        return charge;
    }

    /** Returns what is used of the policy here, by the shared clock. */
    Amount used_here(const ZonePolicy& policy, Now now) const {
        PolicyCharge charge = asked(policy, Decider::kAlone, 0);
        would_admit(&charge, 1, now);
        return used(policy.limit, charge.use.state);
    }

    ZoneMemory memory;
    Zone zone;
    ZoneUser user;
};

TEST(RedisClock, IsTheWallClockUntilRedisAnswers) {
    Fixture f;
    EXPECT_EQ(redis_time(f.zone, kNow).wall, kNow.wall);
    EXPECT_EQ(redis_time(f.zone, kNow).monotonic, kNow.monotonic);
    set_redis_clock(f.zone, later(10), kNow.wall + 10 + 5'000);
    EXPECT_EQ(redis_time(f.zone, later(20)).wall, kNow.wall + 20 + 5'000);
    EXPECT_EQ(redis_time(f.zone, later(20)).monotonic, kNow.monotonic + 20 + 5'000);
}

TEST(RedisClock, DoesNotFollowTheWallClockOfThisNode) {
    Fixture f;
    EXPECT_EQ(redis_time(f.zone, later(1'000, -50'000)).wall, kNow.wall + 1'000);
}

TEST(RedisClock, TrustsTheQuickestAnswerAndFollowsAClockThatIsSet) {
    Fixture f;
    set_redis_clock(f.zone, later(0), kNow.wall);
    set_redis_clock(f.zone, later(100), kNow.wall + 93);  // 7 ms on its way
    EXPECT_EQ(redis_time(f.zone, later(100)).wall, kNow.wall + 100);
    set_redis_clock(f.zone, later(200), kNow.wall + 200 - 3'000);
    EXPECT_EQ(redis_time(f.zone, later(200)).wall, kNow.wall + 200 - 3'000);
}

TEST(RedisClock, IsStartedOnce) {
    Fixture f;
    start_redis_clock(f.zone, later(0, 99'000));
    EXPECT_EQ(redis_time(f.zone, kNow).wall, kNow.wall);
}

TEST(RedisDecidedAdmission, CountsByTheClockOfRedis) {
    Fixture f;
    ZonePolicy policy = add_policy(f.zone, "p", limit_of_rate(Algorithm::kTokenBucket, "10r/s"));
    for (int i = 0; i < 10; ++i) {
        PolicyCharge charge = f.asked(policy, Decider::kAlone);
        EXPECT_TRUE(admit_step_by_step(&charge, 1, kNow));
    }
    EXPECT_EQ(f.used_here(policy, kNow), 10u);
    set_redis_clock(f.zone, kNow, kNow.wall + 500);
    EXPECT_EQ(f.used_here(policy, kNow), 5u);
}

TEST(RedisDecidedAdmission, TakesOverTheDecisionOfRedis) {
    for (Algorithm algorithm : kRates) {
        Fixture f;
        ZonePolicy policy = add_policy(f.zone, "p", hourly(algorithm, 10));
        // A full limit, by what is known here, does not matter.
        PolicyCharge first = f.asked(policy, Decider::kAlone, 10);
        ASSERT_TRUE(admit_step_by_step(&first, 1, kNow));
        PolicyCharge charge = f.asked(policy, Decider::kDecided);
        charge.use.state = first.use.state;
        if (algorithm == Algorithm::kSlidingWindow) {
            for (uint32_t& count : charge.use.state.sliding_window.used) {
                count = count == 10 ? 4 : 0;
            }
        } else {
            charge.use.state.token_bucket.used = 4;
        }
        EXPECT_TRUE(admit_step_by_step(&charge, 1, kNow));
        EXPECT_EQ(charge.use.verdict, Verdict::kPassed);
        EXPECT_EQ(f.used_here(policy, kNow), 4u) << name_of(algorithm);
    }
}

TEST(RedisDecidedAdmission, ShowsWhatThisNodeKnowsBeforeRedisHasDecided) {
    Fixture f;
    ZonePolicy policy = add_policy(f.zone, "p", hourly(Algorithm::kTokenBucket, 10));
    PolicyCharge first = f.asked(policy, Decider::kAlone, 10);
    ASSERT_TRUE(admit_step_by_step(&first, 1, kNow));
    PolicyCharge charge = f.asked(policy, Decider::kElsewhere);
    EXPECT_TRUE(would_admit(&charge, 1, kNow));
    EXPECT_EQ(used(policy.limit, charge.use.state), 10u);
    EXPECT_EQ(f.used_here(policy, kNow), 10u);
}

TEST(RedisDecidedAdmission, CountsRequestsInFlightOnThisNode) {
    Fixture f;
    ZonePolicy policy = add_policy(f.zone, "p", concurrency_limit(1));
    PolicyCharge charges[3];
    for (PolicyCharge& charge : charges) {
        charge = f.asked(policy, Decider::kDecided);
        EXPECT_TRUE(admit_step_by_step(&charge, 1, kNow));
        EXPECT_NE(charge.use.flight, nullptr);
    }
    EXPECT_EQ(f.used_here(policy, kNow), 3u);
    for (PolicyCharge& charge : charges) {
        end_flight(f.user.access(), charge.use.flight);
    }
    EXPECT_EQ(f.used_here(policy, kNow), 0u);
}

TEST(RedisDecidedAdmission, KeepsTheDecisionOfRedisIfThisZoneIsFull) {
    Fixture f({8, 8, 1}, OnFull::kReject);
    ZonePolicy policy = add_policy(f.zone, "p", concurrency_limit(5));
    for (uint32_t i = 0; i < kFlightsPerChunk + 5; ++i) {
        PolicyCharge charge = f.asked(policy, Decider::kDecided);
        EXPECT_TRUE(admit_step_by_step(&charge, 1, kNow));
        EXPECT_EQ(charge.use.verdict, Verdict::kPassed);
        EXPECT_EQ(charge.use.flight != nullptr, i < kFlightsPerChunk) << i;
    }
    EXPECT_TRUE(is_at_rest(f.zone));
}

TEST(RedisDecidedAdmission, ChangesNothingIfThisNodeRefuses) {
    Fixture f;
    ZonePolicy shared = add_policy(f.zone, "shared", hourly(Algorithm::kTokenBucket, 10));
    ZonePolicy local = add_policy(f.zone, "local", hourly(Algorithm::kTokenBucket, 1));
    PolicyCharge taken = f.asked(local, Decider::kHere);
    ASSERT_TRUE(admit_step_by_step(&taken, 1, kNow));
    PolicyCharge charges[2] = {f.asked(shared, Decider::kDecided), f.asked(local, Decider::kHere)};
    charges[0].use.state.token_bucket.used = 3;
    EXPECT_FALSE(admit_step_by_step(charges, 2, kNow));
    EXPECT_EQ(f.used_here(shared, kNow), 0u);
}

TEST(RedisDecidedAdmission, AlignsSlidingWindowsToTheWallClock) {
    Fixture f;
    Limit limit = hourly(Algorithm::kSlidingWindow, 10);
    limit.by_wall = true;
    ZonePolicy policy = add_policy(f.zone, "p", limit);
    PolicyCharge charge = f.asked(policy, Decider::kAlone, 4);
    ASSERT_TRUE(admit_step_by_step(&charge, 1, kNow));
    EXPECT_EQ(charge.use.state.sliding_window.last_charge, static_cast<uint64_t>(kNow.wall));
    EXPECT_EQ(f.used_here(policy, later(kHour - 1)), 4u);
    EXPECT_EQ(f.used_here(policy, later(kHour)), 0u);
    // The same policy without Redis counts by another clock, and begins anew.
    EXPECT_NE(add_policy(f.zone, "p", hourly(Algorithm::kSlidingWindow, 10)).number, policy.number);
}

}  // namespace
}  // namespace ai_limit
