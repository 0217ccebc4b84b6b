// The table as one process sees it: what is counted, what is forgotten and what is not.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "core/buckets/eviction.h"
#include "core/buckets/served_keys.h"
#include "random.h"
#include "zone_memory.h"

namespace ai_limit {
namespace {

constexpr Now kNow{1'000'000'000, 1'755'780'000'000};
constexpr Millis kHour = 3'600'000;

const Host kHost = {[](uint32_t, uint64_t) { return true; }, [] { std::this_thread::yield(); }};

Now later(Millis millis) {
    return {kNow.monotonic + millis, kNow.wall + millis};
}

struct Fixture {
    explicit Fixture(const ZoneSizes& sizes, OnFull on_full = OnFull::kEvict)
        : memory(sizes), zone(memory.zone()), user(zone, &kHost, 1, 0, on_full) {}

    bool take(const ZonePolicy& policy, uint64_t hash, Now now = kNow, Amount cost = 1) {
        return Request(user).charge(policy, hash, cost).admit(now);
    }

    Verdict verdict(const ZonePolicy& policy, uint64_t hash, Now now = kNow) {
        Request request(user);
        request.charge(policy, hash).admit(now);
        return request[0].verdict;
    }

    Amount used(const ZonePolicy& policy, uint64_t hash, Now now = kNow) const {
        return peek(user, policy, hash, now);
    }

    ZonePolicy policy(const char* name, Algorithm algorithm, Amount capacity) const {
        return add_policy(zone, name, hourly(algorithm, capacity));
    }

    uint64_t cells(const Geometry& geometry) const {
        return zone.buckets(geometry) * geometry.cells;
    }

    ZoneMemory memory;
    Zone zone;
    ZoneUser user;
};

class TableOf : public testing::TestWithParam<Algorithm> {};

INSTANTIATE_TEST_SUITE_P(EachAlgorithm, TableOf,
                         testing::Values(Algorithm::kTokenBucket, Algorithm::kSlidingWindow,
                                         Algorithm::kFixedWindow),
                         [](const auto& info) {
                             return info.param == Algorithm::kTokenBucket     ? "token_bucket"
                                    : info.param == Algorithm::kSlidingWindow ? "sliding_window"
                                                                              : "fixed_window";
                         });

TEST_P(TableOf, ForgetsNoKeyWhileItIsFarFromFull) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        Fixture f({512, 512, 1});
        ZonePolicy policies[] = {f.policy("a", GetParam(), 100), f.policy("b", GetParam(), 100),
                                 f.policy("c", GetParam(), 100)};
        const uint64_t cells = f.cells(geometry_of(GetParam()));
        Random random(seed);
        std::map<std::pair<uint64_t, int>, Amount> expected;
        std::vector<uint64_t> keys(cells / 20);
        for (uint64_t& key : keys) {
            key = random.below(UINT64_MAX);
        }
        for (uint64_t i = 0; i < cells * 4; ++i) {
            uint64_t key = keys[random.below(keys.size())];
            int which = static_cast<int>(random.below(3));
            Amount cost = random.scaled(60);
            Amount& used = expected[{key, which}];
            bool passes = used + cost <= 100;
            ASSERT_EQ(f.take(policies[which], key, kNow, cost), passes);
            used += passes ? cost : 0;
        }
        for (const auto& [key, used] : expected) {
            ASSERT_EQ(f.used(policies[key.second], key.first), used);
        }
    }
}

TEST_P(TableOf, ForgetsNoLiveKeyUpToThreeQuartersFull) {
    Fixture f({8192, 4096, 1});
    ZonePolicy policy = f.policy("p", GetParam(), 1'000'000);
    const Geometry& geometry = geometry_of(GetParam());
    const uint64_t cells = f.cells(geometry);
    Random random(77);
    // One key each: those that are no longer there were forgotten.
    auto entries = [&] {
        uint64_t count = 0;
        for (uint64_t i = 0; i < f.zone.buckets(geometry); ++i) {
            for (uint32_t cell = 0; cell < geometry.cells; ++cell) {
                count += f.zone.bucket(geometry, i)->tags[cell] != 0 ? 1 : 0;
            }
        }
        return count;
    };
    uint64_t forgotten[100] = {};  // by the percentage of as many keys as there are cells
    uint64_t keys = 0;
    int first = 0;
    for (int percent = 1; percent < 100; ++percent) {
        for (; keys < cells * static_cast<uint64_t>(percent) / 100; ++keys) {
            ASSERT_TRUE(f.take(policy, random.below(UINT64_MAX)));
        }
        forgotten[percent] = keys - entries();
        first = first == 0 && forgotten[percent] != 0 ? percent : first;
    }
    auto share = [&](int percent) {
        return static_cast<double>(forgotten[percent]) * 10'000 / static_cast<double>(cells) * 100 /
               percent;
    };
    printf(
        "             of %.0f cells: the first live key is forgotten at %d %% load; of 10,000 "
        "keys %.1f by 50 %%, %.1f by 75 %%, %.1f by 90 %%\n",
        static_cast<double>(cells), first, share(50), share(75), share(90));
    EXPECT_EQ(forgotten[75], 0u);
}

TEST_P(TableOf, GivesUpTheIdleThenTheLiveThenTheSpentThenTheRefused) {
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

TEST_P(TableOf, ARefusedKeyStaysRefusedWhileRandomKeysPass) {
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

TEST_P(TableOf, ARefusedKeyStaysRefusedWhileRandomKeysAreSpentAtOnce) {
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

TEST_P(TableOf, ARefusedKeyStaysRefusedWhileRandomKeysAreRefusedToo) {
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

TEST_P(TableOf, EightBucketsHoldAsManyKeysAsTheyHaveCells) {
    Fixture f({8, 8, 1});
    ZonePolicy policy = f.policy("p", GetParam(), 100);
    Random random(12);
    std::vector<uint64_t> keys;
    for (int i = 0; i < 2000; ++i) {
        keys.push_back(random.below(UINT64_MAX));
        ASSERT_TRUE(f.take(policy, keys.back()));
        ASSERT_EQ(f.used(policy, keys.back()), 1u) << "a new key has its own entry";
    }
    uint64_t present = 0;
    for (uint64_t key : keys) {
        present += f.used(policy, key);
    }
    EXPECT_EQ(present, f.cells(geometry_of(GetParam())));
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

TEST_P(TableOf, SeveralChargesOfOneDecisionFitIntoOneBucket) {
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

TEST_P(TableOf, SeveralChargesOfOneDecisionPushOutNoRefusedKeyWhileThereIsRoom) {
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

TEST_P(FullZone, OfLiveKeysTakesNewOnes) {
    Fixture f({8, 0, 1}, GetParam());
    ZonePolicy policy = f.policy("p", Algorithm::kTokenBucket, 10);
    fill(&f, policy, false);
    EXPECT_EQ(f.verdict(policy, 42), Verdict::kPassed);
    EXPECT_EQ(f.used(policy, 42), 1u);
}

TEST_P(FullZone, OfRefusedKeysDoesWithANewOneAsOnFullSays) {
    Fixture f({8, 0, 1}, GetParam());
    ZonePolicy policy = f.policy("p", Algorithm::kTokenBucket, 1);
    fill(&f, policy, true);
    Verdict expected[] = {Verdict::kPassed, Verdict::kUncounted, Verdict::kZoneFull};
    EXPECT_EQ(f.verdict(policy, 42), expected[static_cast<int>(GetParam())]);
    EXPECT_EQ(f.used(policy, 42), GetParam() == OnFull::kEvict ? 1u : 0u);
}

TEST_P(FullZone, ChargesNothingOfARequestThatFindsNoRoom) {
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

TEST_P(FullZone, OfRequestsInFlightDoesWithAnotherAsOnFullSays) {
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

TEST(Flights, AreAsManyAsTheZoneHasRecordsAndAreUsedAgain) {
    Fixture f({64, 0, 3}, OnFull::kReject);
    ZonePolicy slots = f.policy("slots", Algorithm::kConcurrency, 1'000'000);
    for (int round = 0; round < 3; ++round) {
        std::vector<FlightRecord*> held;
        for (uint64_t i = 0;; ++i) {
            Request request(f.user);
            if (!request.charge(slots, i % 7).admit(kNow)) {
                break;
            }
            held.push_back(request[0].flight);
        }
        ASSERT_EQ(held.size(), 3u * kFlightsPerChunk);
        Random random(static_cast<uint64_t>(round));
        while (!held.empty()) {
            size_t i = random.below(held.size());
            end_flight(f.user.access(), held[i]);
            held[i] = held.back();
            held.pop_back();
        }
        ASSERT_EQ(flights_in(f.zone), 0u);
        for (uint64_t i = 0; i < 7; ++i) {
            ASSERT_EQ(f.used(slots, i), 0u);
        }
    }
}

/** Made-up keys, however many, leave records to keys whose requests were served before. */
TEST(Flights, AreKeptForKeysThatAreKnown) {
    Fixture f({512, 0, 8}, OnFull::kReject);
    ZonePolicy slots = f.policy("slots", Algorithm::kConcurrency, 2);
    constexpr uint64_t kKnown = 0xfeed'0000'0000'0001;
    note_served(f.zone, kKnown);
    std::vector<FlightRecord*> made_up;
    for (uint64_t i = 1; i <= 1000; ++i) {
        Request request(f.user);
        if (request.charge(slots, i * 0x9E3779B97F4A7C15).admit(kNow)) {
            made_up.push_back(request[0].flight);
        }
    }
    ASSERT_EQ(made_up.size(), 6u * kFlightsPerChunk);
    Request first(f.user);
    Request second(f.user);
    ASSERT_TRUE(first.charge(slots, kKnown).admit(kNow));
    ASSERT_TRUE(second.charge(slots, kKnown).admit(kNow));
    EXPECT_FALSE(Request(f.user).charge(slots, kKnown).admit(kNow)) << "it has two slots";
    for (const Request* request : {&first, &second}) {
        end_flight(f.user.access(), (*request)[0].flight);
    }
    for (FlightRecord* record : made_up) {
        end_flight(f.user.access(), record);
    }
    EXPECT_EQ(flights_in(f.zone), 0u);
}

TEST(ADecision, ChargesAllOrNoneWhateverRefuses) {
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

// --- policies

TEST(ADecision, OnTokenBucketsThatShareABucketChargesEach) {
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

TEST(Policies, OneThatTakesTheNumberOfTheLongestUnusedBeginsAnew) {
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

TEST(Policies, OneThatTakesANumberDoesNotTakeOverItsMistakes) {
    Fixture f({8, 8, 1});
    for (uint32_t i = 0; i < kMaxPolicies; ++i) {
        uint32_t number =
            f.policy(("p" + std::to_string(i)).c_str(), Algorithm::kTokenBucket, 10).number;
        count_error(f.zone, number);
    }
    EXPECT_EQ(count_error(f.zone, f.policy("heir", Algorithm::kTokenBucket, 10).number), 1u);
}

// --- another size

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

TEST(MigrationToASmallerZone, LosesTheIdleAndTheLiveBeforeTheRefused) {
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

// --- several at once

TEST(ThreadsWithJournalsOfTheirOwn, LetThroughExactlyWhatTheLimitsAllow) {
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

TEST(ThreadsWithJournalsOfTheirOwn, LetThroughExactlyWhatLayeredTokenBucketsAllow) {
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
