// Stops a process at every instruction of a decision, one by one, and checks what it leaves behind.

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "deaths.h"
#include "random.h"
#include "zone_memory.h"

namespace ai_limit {
namespace {

constexpr Now kNow{1'000'000'000, 1'755'780'000'000};
constexpr uint64_t kKey = 0x1234'5678'9abc'def0;
constexpr uint64_t kOtherKey = 0xfedc'ba98'7654'3210;

/** Every kind of limit on one zone. Process 1 is the one that dies. */
class AdmissionAtEveryInstruction : public Stepwise<testing::Test> {
protected:
    Request whole_request(const ZoneUser& user, uint64_t key = kKey, Amount cost = 1) const {
        Request request(user);
        request.charge(bucket, key, cost).charge(sliding, key, cost).charge(fixed, key, cost);
        return request.charge(slots, key, cost == 0 ? 0 : 1);
    }

    /**
     * Returns what each of the three rates has used, which is the same for all of them at any time.
     */
    Amount used_by_all(const ZoneUser& user, uint64_t key = kKey) const {
        Request request = whole_request(user, key, 0);
        request.admit(kNow);
        EXPECT_EQ(request.used(0), request.used(1));
        EXPECT_EQ(request.used(0), request.used(2));
        return request.used(0);
    }

    ZoneMemory memory{kTiny};
    Zone zone = memory.zone();
    ZoneUser mortal{zone, &kStepHost, 1};
    ZonePolicy bucket = add_policy(zone, "bucket", hourly(Algorithm::kTokenBucket, 5));
    ZonePolicy sliding = add_policy(zone, "sliding", hourly(Algorithm::kSlidingWindow, 5));
    ZonePolicy fixed = add_policy(zone, "fixed", hourly(Algorithm::kFixedWindow, 5));
    ZonePolicy slots = add_policy(zone, "slots", hourly(Algorithm::kConcurrency, 5));
};

TEST_F(AdmissionAtEveryInstruction, ChargesADecisionEntirelyOrNotAtAll) {
    ZoneUser other(zone, &kStepHost, 3);
    ASSERT_TRUE(whole_request(other).admit(kNow));
    ASSERT_TRUE(whole_request(other, kOtherKey).admit(kNow));

    Request request = whole_request(mortal);
    bool passed = false;
    Deaths deaths(memory, [&] { passed = request.admit(kNow); });
    ASSERT_TRUE(passed);
    ASSERT_GT(deaths.steps(), 100u) << "no single steps";
    ASSERT_GT(deaths.count(), 30u);

    g_is_dead[1] = true;
    bool seen[2] = {};
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), Now{});
        ASSERT_TRUE(is_at_rest(left->zone())) << "state " << i;
        Amount used = used_by_all(survivor);
        ASSERT_TRUE(used == 1 || used == 2) << used << " in state " << i;
        seen[used - 1] = true;
        ASSERT_EQ(used_by_all(survivor, kOtherKey), 1u) << "state " << i;
        ASSERT_EQ(peek(survivor, slots, kKey, kNow), 1u) << "state " << i;
        ASSERT_EQ(flights_in(left->zone()), 2u) << "state " << i;
        ASSERT_EQ(left->zone().process(1)->pid.load(), 0u) << "state " << i;
    }
    EXPECT_TRUE(seen[0] && seen[1]);
}

TEST_F(AdmissionAtEveryInstruction, ChargesTheFirstDecisionOfAKeyEntirelyOrNotAtAll) {
    Request request = whole_request(mortal);
    Deaths deaths(memory, [&] { request.admit(kNow); });
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), Now{});
        ASSERT_TRUE(is_at_rest(left->zone())) << "state " << i;
        ASSERT_LE(used_by_all(survivor), 1u) << "state " << i;
        ASSERT_EQ(peek(survivor, slots, kKey, kNow), 0u) << "state " << i;
        ASSERT_EQ(flights_in(left->zone()), 0u) << "state " << i;
        for (uint32_t chunk = 0; chunk < kTiny.flight_chunks; ++chunk) {
            ASSERT_EQ(left->zone().chunk_owner(chunk)->load(), 0u) << "state " << i;
        }
    }
}

TEST_F(AdmissionAtEveryInstruction, TakesNothingIfTheRequestIsRefused) {
    for (int i = 0; i < 4; ++i) {
        ASSERT_TRUE(whole_request(mortal).admit(kNow));
    }
    Request one_more(mortal);
    ASSERT_TRUE(one_more.charge(fixed, kKey).admit(kNow));

    Request request(mortal);
    request.charge(bucket, kKey).charge(fixed, kKey).charge(sliding, kKey);
    bool passed = true;
    Deaths deaths(memory, [&] { passed = request.admit(kNow); });
    ASSERT_FALSE(passed);
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), Now{});
        ASSERT_TRUE(is_at_rest(left->zone()));
        ASSERT_EQ(peek(survivor, bucket, kKey, kNow), 4u) << "state " << i;
        ASSERT_EQ(peek(survivor, sliding, kKey, kNow), 4u) << "state " << i;
        ASSERT_EQ(peek(survivor, fixed, kKey, kNow), 5u) << "state " << i;
    }
}

TEST_F(AdmissionAtEveryInstruction, KeepsTheEvictedEntryOrItsSuccessor) {
    // All 40 cells of the small buckets hold one key each.
    std::vector<uint64_t> keys;
    Random random(5);
    while (keys.size() < 400) {
        keys.push_back(random.below(UINT64_MAX));
        Request(mortal).charge(bucket, keys.back()).admit(kNow);
    }
    auto present = [&](const ZoneUser& user) {
        size_t count = 0;
        for (uint64_t key : keys) {
            count += peek(user, bucket, key, kNow);
        }
        return count;
    };
    ASSERT_EQ(present(mortal), 40u);

    Request request(mortal);
    request.charge(bucket, kKey, 2);
    bool passed = false;
    Deaths deaths(memory, [&] { passed = request.admit(kNow); });
    ASSERT_TRUE(passed);
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), Now{});
        Amount used = peek(survivor, bucket, kKey, kNow);
        ASSERT_TRUE(used == 0 || used == 2) << used << " in state " << i;
        ASSERT_EQ(present(survivor), used == 0 ? 40u : 39u) << "state " << i;
    }
}

/** Whenever the process died, the key has `before` used of all these policies, or one more. */
void expect_one_more_or_none(Deaths* deaths, const std::vector<ZonePolicy>& policies,
                             Amount before) {
    g_is_dead[1] = true;
    bool seen[2] = {};
    for (size_t i = 0; i < deaths->count(); ++i) {
        ZoneMemory* left = deaths->state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), Now{});
        ASSERT_TRUE(is_at_rest(left->zone())) << "state " << i;
        const Amount used = peek(survivor, policies[0], kKey, kNow);
        ASSERT_TRUE(used == before || used == before + 1) << used << " in state " << i;
        seen[used - before] = true;
        for (const ZonePolicy& policy : policies) {
            ASSERT_EQ(peek(survivor, policy, kKey, kNow), used) << "state " << i;
        }
    }
    EXPECT_TRUE(seen[0] && seen[1]);
}

TEST_F(AdmissionAtEveryInstruction, MakesASingleChargeOrNone) {
    ASSERT_TRUE(Request(mortal).charge(bucket, kKey, 2).admit(kNow));
    Request request(mortal);
    request.charge(bucket, kKey);
    bool passed = false;
    Deaths deaths(memory, [&] { passed = request.admit(kNow); });
    ASSERT_TRUE(passed);
    expect_one_more_or_none(&deaths, {bucket}, 2);
}

TEST_F(AdmissionAtEveryInstruction, ChargesTokenBucketsOfOneKeyTogetherOrNotAtAll) {
    const ZonePolicy hour = add_policy(zone, "hour", hourly(Algorithm::kTokenBucket, 50));
    const ZonePolicy day = add_policy(zone, "day", hourly(Algorithm::kTokenBucket, 500));
    const auto charge_all = [&](Request* request) {
        request->charge(bucket, kKey).charge(hour, kKey).charge(day, kKey);
    };
    Request first(mortal);
    charge_all(&first);
    ASSERT_TRUE(first.admit(kNow));
    Request request(mortal);
    charge_all(&request);
    bool passed = false;
    Deaths deaths(memory, [&] { passed = request.admit(kNow); });
    ASSERT_TRUE(passed);
    expect_one_more_or_none(&deaths, {bucket, hour, day}, 1);
}

TEST_F(AdmissionAtEveryInstruction, KeepsAMovedEntryInOnePlace) {
    // Fills the zone until a newcomer moves another entry to its second bucket. A newcomer that has
    // another entry forgotten is taken back.
    Random random(6);
    std::vector<uint64_t> keys;
    auto is_in_first = [&](uint64_t key) {
        uint64_t tag = tag_of(tag_base(key), bucket.number);
        return find_tag(first_bucket(zone, kSmall, tag, bucket.number), kSmall, tag) != kNoCell;
    };
    auto is_in_second = [&](uint64_t key) {
        uint64_t tag = tag_of(tag_base(key), bucket.number);
        return find_tag(second_bucket(zone, kSmall, tag), kSmall, tag) != kNoCell;
    };
    bool moved = false;
    for (int tries = 0; !moved && tries < 400; ++tries) {
        auto before = std::make_unique<ZoneMemory>(kTiny);
        memcpy(before->data(), memory.data(), memory.size());
        std::vector<bool> places;
        for (uint64_t key : keys) {
            places.push_back(is_in_first(key));
        }
        uint64_t next = random.below(UINT64_MAX);
        ASSERT_TRUE(Request(mortal).charge(bucket, next).admit(kNow));
        bool forgotten = false;
        for (size_t i = 0; i < keys.size(); ++i) {
            forgotten = forgotten || (!is_in_first(keys[i]) && !is_in_second(keys[i]));
            moved = moved || is_in_first(keys[i]) != places[i];
        }
        moved = moved && !forgotten;
        if (moved || forgotten) {
            memcpy(memory.data(), before->data(), memory.size());
        }
        if (!forgotten) {
            keys.push_back(next);
        }
    }
    ASSERT_TRUE(moved);
    uint64_t newcomer = keys.back();
    keys.pop_back();

    Request request(mortal);
    request.charge(bucket, newcomer);
    Deaths deaths(memory, [&] { request.admit(kNow); });
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), Now{});
        ASSERT_TRUE(is_at_rest(left->zone())) << "state " << i;
        Amount used = peek(survivor, bucket, newcomer, kNow);
        ASSERT_LE(used, 1u) << "state " << i;
        for (uint64_t key : keys) {
            ASSERT_EQ(peek(survivor, bucket, key, kNow), 1u) << "state " << i;
        }
        uint64_t entries = 0;
        for (uint64_t b = 0; b < kTiny.small_buckets; ++b) {
            for (uint32_t cell = 0; cell < kSmall.cells; ++cell) {
                entries += left->zone().bucket(kSmall, b)->tags[cell] != 0 ? 1 : 0;
            }
        }
        ASSERT_EQ(entries, keys.size() + used) << "state " << i;
    }
}

TEST_F(AdmissionAtEveryInstruction, CountsTheEndOfARequestInFlightOnce) {
    ZoneUser other(zone, &kStepHost, 3);
    ASSERT_TRUE(whole_request(other).admit(kNow));
    Request request = whole_request(mortal);
    ASSERT_TRUE(request.admit(kNow));
    Deaths deaths(memory, [&] { end_flight(mortal.access(), request[3].flight); });
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), Now{});
        ASSERT_TRUE(is_at_rest(left->zone()));
        ASSERT_EQ(peek(survivor, slots, kKey, kNow), 1u) << "state " << i;
        ASSERT_EQ(flights_in(left->zone()), 1u) << "state " << i;
        ASSERT_EQ(used_by_all(survivor), 2u) << "state " << i;
    }
}

TEST_F(AdmissionAtEveryInstruction, LetsAWaiterForTheLocksContinue) {
    ASSERT_TRUE(whole_request(mortal).admit(kNow));
    Request request = whole_request(mortal);
    Deaths deaths(memory, [&] { request.admit(kNow); });
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        Request next = whole_request(survivor);
        ASSERT_TRUE(next.admit(kNow)) << "state " << i;
        ASSERT_TRUE(next.used(0) == 2 || next.used(0) == 3) << "state " << i;
        ASSERT_EQ(next.used(0), next.used(1)) << "state " << i;
        ASSERT_EQ(next.used(0), next.used(2)) << "state " << i;
        reclaim_dead(survivor.journal(), Now{});
        ASSERT_TRUE(is_at_rest(left->zone())) << "state " << i;
        ASSERT_EQ(peek(survivor, slots, kKey, kNow), 1u) << "state " << i;
    }
}

TEST_F(AdmissionAtEveryInstruction, GivesSlotsBackOnceWhenAProcessEnds) {
    ZoneUser other(zone, &kStepHost, 3);
    ASSERT_TRUE(whole_request(other).admit(kNow));
    ASSERT_TRUE(whole_request(mortal).admit(kNow));
    ASSERT_TRUE(whole_request(mortal).admit(kNow));
    Deaths deaths(memory, [&] { reclaim_self(mortal.journal(), Now{}); });
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), Now{});
        ASSERT_TRUE(is_at_rest(left->zone()));
        ASSERT_EQ(peek(survivor, slots, kKey, kNow), 1u) << "state " << i;
        ASSERT_EQ(flights_in(left->zone()), 1u) << "state " << i;
    }
}

TEST_F(AdmissionAtEveryInstruction, LosesNoProcessSlot) {
    ZoneAccess* access = new ZoneAccess();
    Deaths deaths(memory, [&] { access->journal.open(zone, &kStepHost, 4, 99); });
    g_is_dead[4] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        reclaim_dead(mortal.journal(), Now{});
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), Now{});
        uint32_t taken = 0;
        for (uint32_t number = 1; number <= kMaxProcesses; ++number) {
            taken += left->zone().process(number)->pid.load() != 0 ? 1 : 0;
        }
        ASSERT_EQ(taken, 2u) << "state " << i;
    }
    delete access;
}

/** The same for the process that repairs, at its every instruction, after the first has died. */
class RepairAtEveryInstruction : public AdmissionAtEveryInstruction {
protected:
    void check(const ZoneMemory& left, Amount least, Amount most, size_t first, size_t second) {
        ZoneUser survivor(left.zone(), &kStepHost, 3);
        reclaim_dead(survivor.journal(), Now{});
        ASSERT_TRUE(is_at_rest(left.zone())) << "states " << first << ", " << second;
        Amount used = used_by_all(survivor);
        ASSERT_TRUE(used >= least && used <= most) << "states " << first << ", " << second;
        ASSERT_EQ(peek(survivor, slots, kKey, kNow), 0u) << "states " << first << ", " << second;
        ASSERT_EQ(flights_in(left.zone()), 0u) << "states " << first << ", " << second;
    }
};

TEST_F(RepairAtEveryInstruction, LetsAThirdProcessRepairBoth) {
    ASSERT_TRUE(whole_request(mortal).admit(kNow));
    ASSERT_TRUE(whole_request(mortal).admit(kNow));
    Request request = whole_request(mortal);
    Deaths deaths(memory, [&] { request.admit(kNow); });
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); i += 1 + deaths.count() / 6) {
        g_is_dead[2] = false;
        ZoneMemory* left = deaths.state(i);
        ZoneUser repairer(left->zone(), &kStepHost, 2);
        Deaths more(*left, [&] { reclaim_dead(repairer.journal(), Now{}); });
        g_is_dead[2] = true;
        for (size_t j = 0; j < more.count(); ++j) {
            ASSERT_NO_FATAL_FAILURE(check(*more.state(j), 2, 3, i, j));
        }
    }
}

TEST_F(RepairAtEveryInstruction, LetsAThirdProcessRepairBothWhenTheRepairerWaitedForALock) {
    ASSERT_TRUE(whole_request(mortal).admit(kNow));
    Request request = whole_request(mortal);
    Deaths deaths(memory, [&] { request.admit(kNow); });
    g_is_dead[1] = true;
    size_t i = deaths.count() / 2;  // with every lock taken, and something written
    ZoneMemory* left = deaths.state(i);
    ASSERT_FALSE(is_at_rest(left->zone()));
    ZoneUser repairer(left->zone(), &kStepHost, 2);
    Request next = whole_request(repairer);
    Deaths more(*left, [&] { next.admit(kNow); });
    g_is_dead[2] = true;
    for (size_t j = 0; j < more.count(); ++j) {
        ASSERT_NO_FATAL_FAILURE(check(*more.state(j), 1, 3, i, j));
    }
}

}  // namespace
}  // namespace ai_limit
