// Tests that a request is charged by all of its policies or by none, also if several threads decide
// at once.

#include "core/decide/admission.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "random.h"
#include "rate_zone.h"

namespace ai_limit {
namespace {

using namespace rate_zone;
using Fixture = RateZone;

TEST(Decision, ChargesAllPoliciesOrNoneWhicheverOneRefuses) {
    Fixture f({64, 64, 16});
    ZonePolicy policies[] = {f.policy("bucket", Algorithm::kTokenBucket, 40),
                             f.policy("sliding", Algorithm::kSlidingWindow, 60),
                             f.policy("fixed", Algorithm::kFixedWindow, 50),
                             f.policy("slots", Algorithm::kConcurrency, 30)};
    Random random(18);
    std::map<std::pair<uint64_t, int>, Amount> expected;
    for (int i = 0; i < 5000; ++i) {
        Request request(f.user);
        std::vector<std::pair<std::pair<uint64_t, int>, Amount>> wanted;
        bool fits = true;
        for (int which = 0; which < 4; ++which) {
            if (random.one_in(3)) {
                continue;
            }
            uint64_t key = random.below(12) * 0x9E37'79B9'7F4A'7C15;
            Amount cost = which == 3 ? 1 : random.below(4);
            bool dry_run = random.one_in(5);
            request.charge(policies[which], key, cost, dry_run);
            bool this_fits = expected[{key, which}] + cost <= policies[which].limit.capacity;
            fits = fits && (this_fits || dry_run);
            wanted.push_back({{key, which}, this_fits ? cost : 0});
        }
        ASSERT_EQ(request.admit(kNow), fits);
        for (const auto& [entry, cost] : wanted) {
            expected[entry] += fits ? cost : 0;
        }
        if (i % 50 == 0) {
            for (const auto& [entry, used] : expected) {
                ASSERT_EQ(f.used(policies[entry.second], entry.first), used);
            }
        }
    }
}

TEST(Decision, ChargesEachOfTheTokenBucketsInOneBucketOfTheTable) {
    // Numbers that differ by eight have the same first bucket.
    ZoneMemory memory({8, 0, 0});
    std::vector<ZonePolicy> policies;
    for (int i = 0; i < 9; ++i) {
        const std::string name = "p" + std::to_string(i);
        policies.push_back(
            add_policy(memory.zone(), name.c_str(), hourly(Algorithm::kTokenBucket, 5)));
    }
    ZoneUser user(memory.zone(), &kHost, 1);
    for (Amount used = 1; used <= 5; ++used) {
        Request request(user);
        ASSERT_TRUE(request.charge(policies[0], 42).charge(policies[8], 42).admit(kNow));
        EXPECT_EQ(request.used(0), used);
        EXPECT_EQ(request.used(1), used);
    }
    Request refused(user);
    EXPECT_FALSE(refused.charge(policies[0], 42).charge(policies[8], 42).admit(kNow));
    EXPECT_TRUE(is_at_rest(memory.zone()));
}

// --- several at once

TEST(ThreadsWithJournalsOfTheirOwn, PassExactlyWhatTheLimitsAllow) {
    ZoneMemory memory({8, 8, 16});
    ZonePolicy bucket = add_policy(memory.zone(), "b", hourly(Algorithm::kTokenBucket, 20'000));
    ZonePolicy sliding = add_policy(memory.zone(), "s", hourly(Algorithm::kSlidingWindow, 15'000));
    ZonePolicy fixed = add_policy(memory.zone(), "f", hourly(Algorithm::kFixedWindow, 25'000));
    ZonePolicy slots = add_policy(memory.zone(), "c", hourly(Algorithm::kConcurrency, 3));
    constexpr int kThreads = 4;
    std::atomic<uint64_t> passed[3] = {};
    std::atomic<int> in_flight{0};
    std::atomic<int> most_in_flight{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            ZoneUser user(memory.zone(), &kHost, static_cast<uint32_t>(t) + 1);
            Random random(static_cast<uint64_t>(t));
            for (int i = 0; i < 40'000; ++i) {
                uint64_t key = random.below(3);
                Request request(user);
                request.charge(bucket, key << 61 | 5).charge(sliding, key << 61 | 5);
                request.charge(fixed, key << 61 | 5);
                if (key == 2) {
                    request.charge(slots, key);
                }
                if (!request.admit(kNow)) {
                    continue;
                }
                ++passed[key];
                if (key == 2) {
                    int now_in_flight = ++in_flight;
                    int most = most_in_flight;
                    while (most < now_in_flight &&
                           !most_in_flight.compare_exchange_weak(most, now_in_flight)) {
                    }
                    --in_flight;
                    end_flight(user.access(), request[3].flight);
                }
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    ZoneUser observer(memory.zone(), &kHost, 9);
    for (uint64_t key = 0; key < 3; ++key) {
        EXPECT_LE(passed[key], 15'000u);
        for (const ZonePolicy& policy : {bucket, sliding, fixed}) {
            EXPECT_EQ(peek(observer, policy, key << 61 | 5, kNow), passed[key]);
        }
    }
    EXPECT_LE(most_in_flight, 3);
    EXPECT_EQ(peek(observer, slots, 2, kNow), 0u);
}

TEST(ThreadsWithJournalsOfTheirOwn, PassExactlyWhatLayeredTokenBucketsAllow) {
    ZoneMemory memory({8, 0, 0});
    constexpr Amount kCapacities[] = {30'000, 20'000, 40'000};
    std::vector<ZonePolicy> policies;
    for (const Amount capacity : kCapacities) {
        const std::string name = "p" + std::to_string(capacity);
        policies.push_back(
            add_policy(memory.zone(), name.c_str(), hourly(Algorithm::kTokenBucket, capacity)));
    }
    std::atomic<uint64_t> passed{0};
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            ZoneUser user(memory.zone(), &kHost, t + 1);
            for (int i = 0; i < 10'000; ++i) {
                Request request(user);
                // Each thread has another order.
                for (uint32_t p = 0; p < 3; ++p) {
                    request.charge(policies[(p + t) % 3], 42);
                }
                passed += request.admit(kNow) ? 1 : 0;
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    ZoneUser observer(memory.zone(), &kHost, 9);
    EXPECT_EQ(passed, 20'000u);
    for (const ZonePolicy& policy : policies) {
        EXPECT_EQ(peek(observer, policy, 42, kNow), 20'000u);
    }
    EXPECT_TRUE(is_at_rest(memory.zone()));
}

}  // namespace
}  // namespace ai_limit
