// Kills a process and checks what it leaves of the tokens that it had reserved: at every
// instruction of an admission that reserves some, of a settlement, and of the repair.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/decide/settlement.h"
#include "core/zone/bucket_pair.h"
#include "deaths.h"
#include "random.h"
#include "zone_memory.h"

namespace ai_limit {
namespace {

constexpr Now kNow{1'000'000'000, 1'755'780'000'000};
constexpr uint64_t kKey = 0x1234'5678'9abc'def0;
constexpr uint64_t kOtherKey = 0xfedc'ba98'7654'3210;

/** Process 1 is the one that dies. Process 3 has reserved 50 of the key's tokens and lives. */
class SettlementAtEveryInstruction : public Stepwise<testing::TestWithParam<Algorithm>> {
protected:
    void SetUp() override {
        Stepwise::SetUp();
        if (IsSkipped()) {
            return;
        }
        hold(other, kKey, 50);
    }

    Request hold(const ZoneUser& user, uint64_t key, Amount reserve) const {
        Request request(user);
        EXPECT_TRUE(request.charge_tokens(policy, key, reserve).admit(kNow));
        return request;
    }

    void use(uint64_t key, Amount tokens) const { hold(other, key, 1).settle(0, tokens, kNow); }

    /**
     * Returns what the key has used once all that died was reclaimed; nothing else may be left of
     * it.
     */
    Amount used_after(const ZoneMemory& left, uint32_t survivor_pid = 2, uint64_t key = kKey) {
        const Zone& then = left.zone();
        ZoneUser survivor(then, &kStepHost, survivor_pid);
        reclaim_dead(survivor.journal(), kNow);
        EXPECT_TRUE(is_at_rest(then));
        EXPECT_EQ(then.process(1)->pid.load(), survivor.journal()->number() == 1 ? survivor_pid : 0)
            << "of the one that died";
        EXPECT_EQ(flights_in(then), 1u) << "the living one's";
        EXPECT_EQ(look(survivor, policy.held, kKey, kNow), 50u);
        EXPECT_EQ(entries_of(then, policy.held), 1u);
        return look(survivor, policy.used, key, kNow);
    }

    /** Whenever it died, one of these amounts was charged; each was at some time. */
    void expect_either(Deaths* deaths, Amount one, Amount another) {
        ASSERT_GT(deaths->count(), 5u);
        g_is_dead[1] = true;
        bool seen[2] = {};
        for (size_t i = 0; i < deaths->count(); ++i) {
            const Amount used = used_after(*deaths->state(i));
            ASSERT_TRUE(used == one || used == another) << used << " in state " << i;
            ASSERT_FALSE(HasFailure()) << "state " << i;
            seen[used == one ? 0 : 1] = true;
        }
        EXPECT_TRUE(seen[0] && (seen[1] || one == another));
    }

    void expect_settled(Amount before, Amount reserve, Amount tokens) {
        if (before != 0) {
            use(kKey, before);
        }
        Request request = hold(mortal, kKey, reserve);
        Deaths deaths(memory, [&] { request.settle(0, tokens, kNow); });
        expect_either(&deaths, before + reserve, before + tokens);
    }

    /** The same for a reservation that grows, of which so much fits. */
    void expect_grown(Amount before, Amount reserve, Amount more, Amount fits) {
        if (before != 0) {
            use(kKey, before);
        }
        Request request = hold(mortal, kKey, reserve);
        Amount granted = 0;
        Deaths deaths(memory, [&] { granted = request.grow(0, more, kNow); });
        ASSERT_EQ(granted, fits);
        expect_either(&deaths, before + reserve, before + reserve + fits);
    }

    ZoneMemory memory{{8, 8, 4}};
    Zone zone = memory.zone();
    ZoneUser mortal{zone, &kStepHost, 1};
    ZoneUser other{zone, &kStepHost, 3};
    TokenPolicy policy = add_token_policy(zone, "tokens", limit_of_rate(GetParam(), "100kt/month"));
};

INSTANTIATE_TEST_SUITE_P(Of, SettlementAtEveryInstruction, testing::ValuesIn(kRates),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(SettlementAtEveryInstruction, ReservesForANewKeyOrNotAtAll) {
    Request request(mortal);
    request.charge_tokens(policy, kKey, 300);
    bool passed = false;
    Deaths deaths(memory, [&] { passed = request.admit(kNow); });
    ASSERT_TRUE(passed);
    expect_either(&deaths, 0, 300);
}

TEST_P(SettlementAtEveryInstruction, ReservesInAllPoliciesOrInNone) {
    use(kKey, 20);
    const ZonePolicy requests = add_policy(zone, "r", hourly(Algorithm::kTokenBucket, 9));
    const ZonePolicy slots = add_policy(zone, "slots", hourly(Algorithm::kConcurrency, 9));
    const TokenPolicy sliding =
        add_token_policy(zone, "s", limit_of_rate(Algorithm::kSlidingWindow, "9000t/h"));
    const TokenPolicy fixed =
        add_token_policy(zone, "f", limit_of_rate(Algorithm::kFixedWindow, "9000t/h"));
    Request request(mortal);
    request.charge(requests, kKey).charge_tokens(policy, kKey, 300).charge(slots, kKey);
    request.charge_tokens(sliding, kKey, 300).charge_tokens(fixed, kKey, 300);
    bool passed = false;
    Deaths deaths(memory, [&] { passed = request.admit(kNow); });
    ASSERT_TRUE(passed);
    g_is_dead[1] = true;
    bool seen[2] = {};
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        const Amount used = used_after(*left);
        ASSERT_TRUE(used == 20 || used == 320) << used << " in state " << i;
        ASSERT_FALSE(HasFailure()) << "state " << i;
        seen[used == 320] = true;
        ZoneUser survivor(left->zone(), &kStepHost, 4);
        ASSERT_EQ(look(survivor, sliding.used, kKey, kNow), used - 20) << "state " << i;
        ASSERT_EQ(look(survivor, fixed.used, kKey, kNow), used - 20) << "state " << i;
        ASSERT_EQ(look(survivor, requests, kKey, kNow), used == 320 ? 1u : 0u) << "state " << i;
        ASSERT_EQ(look(survivor, slots, kKey, kNow), 0u) << "state " << i;
    }
    EXPECT_TRUE(seen[0] && seen[1]);
}

TEST_P(SettlementAtEveryInstruction, ReservesNothingIfTheRequestIsRefused) {
    use(kKey, 99'000);
    Request request(mortal);
    request.charge_tokens(policy, kOtherKey, 300).charge_tokens(policy, kKey, 951);
    bool passed = true;
    Deaths deaths(memory, [&] { passed = request.admit(kNow); });
    ASSERT_FALSE(passed);
    expect_either(&deaths, 99'000, 99'000);
}

TEST_P(SettlementAtEveryInstruction, ReservesNothingByLookingAhead) {
    use(kKey, 20);
    Request request(mortal);
    request.charge_tokens(policy, kKey, 300);
    bool passed = false;
    Deaths deaths(memory, [&] { passed = request.would_admit(kNow); });
    ASSERT_TRUE(passed);
    expect_either(&deaths, 20, 20);
}

TEST_P(SettlementAtEveryInstruction, ChargesWhatWasUsedOrReserved) {
    expect_settled(1000, 300, 70);
}

TEST_P(SettlementAtEveryInstruction, ChargesANewKeyWhatWasUsedOrReserved) {
    expect_settled(0, 300, 70);
}

TEST_P(SettlementAtEveryInstruction, ChargesMoreThanWasReservedOrWhatWasReserved) {
    expect_settled(1000, 300, 250'000);
}

TEST_P(SettlementAtEveryInstruction, ChargesNothingOrWhatWasReserved) {
    expect_settled(0, 300, 0);
}

TEST_P(SettlementAtEveryInstruction, ChargesExactlyWhatWasReserved) {
    expect_settled(5, 300, 300);
}

TEST_P(SettlementAtEveryInstruction, SettlesWithoutAReservationOrNotAtAll) {
    Request request = hold(mortal, kKey, 0);
    Deaths deaths(memory, [&] { request.settle(0, 70, kNow); });
    expect_either(&deaths, 0, 70);
}

TEST_P(SettlementAtEveryInstruction, GrowsAReservationOrLeavesItAsItWas) {
    expect_grown(20, 300, 70, 70);
}

TEST_P(SettlementAtEveryInstruction, GrowsAReservationByThePartThatFits) {
    expect_grown(99'000, 300, 900, 650);
}

TEST_P(SettlementAtEveryInstruction, BeginsAReservationOrReservesNothing) {
    expect_grown(0, 0, 70, 70);
}

TEST_P(SettlementAtEveryInstruction, SettlesAGrownReservation) {
    Request request = hold(mortal, kKey, 300);
    ASSERT_EQ(request.grow(0, 70, kNow), 70u);
    Deaths deaths(memory, [&] { request.settle(0, 15, kNow); });
    expect_either(&deaths, 370, 15);
}

TEST_P(SettlementAtEveryInstruction, LetsAWaiterForTheLocksContinue) {
    Request request = hold(mortal, kKey, 300);
    Deaths deaths(memory, [&] { request.settle(0, 70, kNow); });
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        {
            ZoneUser survivor(left->zone(), &kStepHost, 2);
            Request next(survivor);
            ASSERT_TRUE(next.charge_tokens(policy, kKey, 1000).admit(kNow)) << "state " << i;
            const Amount taken = next.used(0);
            ASSERT_TRUE(taken == 1050 + 70 || taken == 1050 + 300) << taken << " in state " << i;
            ASSERT_EQ(next.settle(0, 11, kNow), 0u);
        }
        const Amount used = used_after(*left, 4);
        ASSERT_TRUE(used == 81 || used == 311) << used << " in state " << i;
        ASSERT_FALSE(HasFailure()) << "state " << i;
    }
}

// --- in a zone with little room

/** Keys that have used three each, and one more that is to be settled. */
class SettlementInACrowdAtEveryInstruction : public SettlementAtEveryInstruction {
protected:
    enum class Change { kMoved, kPushedOut };

    struct Place {
        int bucket;  // 1 or 2, 0 for none
        bool operator!=(const Place& other) const { return bucket != other.bucket; }
    };

    Place place_of(uint64_t key) const {
        const BucketPair home = bucket_pair_of(
            zone, GetParam(), tag_of(tag_base(key), policy.used.number), policy.used.number);
        const Cell cell = home.find();
        return {cell.index == kNoCell ? 0 : cell.bucket == home.first ? 1 : 2};
    }

    /** Copies the memory from the tallies on; nobody changes the rest meanwhile. */
    std::vector<char> snapshot() const {
        return std::vector<char>(memory.data() + layout_of(zone.sizes()).tallies,
                                 memory.data() + memory.size());
    }
    void restore(const std::vector<char>& before) {
        memcpy(memory.data() + memory.size() - before.size(), before.data(), before.size());
    }

    /** Adds reservations until one comes whose settlement changes the place of another's entry. */
    void crowd(Change wanted) {
        hold(mortal, kKey, 1).settle(0, 0, kNow);
        const std::vector<char> empty = snapshot();
        for (uint64_t seed = 1; seed < 100; ++seed) {
            restore(empty);
            keys.clear();
            Random random(seed);
            for (int i = 0; i < 100; ++i) {
                const uint64_t next = random.below(UINT64_MAX);
                Request request = hold(mortal, next, 5);
                std::vector<Place> places;
                for (const uint64_t key : keys) {
                    places.push_back(place_of(key));
                }
                const std::vector<char> before = snapshot();
                Request(request).settle(0, 3, kNow);
                if (has_changed(places, wanted)) {
                    restore(before);
                    newcomer = next;
                    last = request;
                    return;
                }
                keys.push_back(next);
                if (lost(places)) {
                    break;
                }
            }
        }
        FAIL() << "none came";
    }

    bool lost(const std::vector<Place>& places) const {
        for (size_t i = 0; i < places.size(); ++i) {
            if (place_of(keys[i]).bucket == 0) {
                return true;
            }
        }
        return false;
    }

    bool has_changed(const std::vector<Place>& places, Change wanted) const {
        if (wanted == Change::kPushedOut || lost(places)) {
            return wanted == Change::kPushedOut && lost(places);
        }
        for (size_t i = 0; i < places.size(); ++i) {
            if (place_of(keys[i]) != places[i]) {
                return true;
            }
        }
        return false;
    }

    /** Each state, in which all others but so many have what they had. */
    void check(Deaths* deaths, size_t pushed_out) {
        g_is_dead[1] = true;
        bool seen[2] = {};
        for (size_t i = 0; i < deaths->count(); ++i) {
            ZoneMemory* left = deaths->state(i);
            const Amount used = used_after(*left, 2, newcomer);
            ASSERT_TRUE(used == 3 || used == 5) << used << " in state " << i;
            ASSERT_FALSE(HasFailure()) << "state " << i;
            seen[used == 5] = true;
            ZoneUser survivor(left->zone(), &kStepHost, 4);
            size_t gone = 0;
            for (const uint64_t key : keys) {
                const Amount others = look(survivor, policy.used, key, kNow);
                ASSERT_TRUE(others == 3 || others == 0) << others << " in state " << i;
                gone += others == 0 ? 1 : 0;
            }
            ASSERT_EQ(gone, pushed_out) << "state " << i;
            ASSERT_EQ(entries_of(left->zone(), policy.used), keys.size() + 1 - pushed_out)
                << "state " << i;
        }
        EXPECT_TRUE(seen[0] && seen[1]);
    }

    std::vector<uint64_t> keys;
    uint64_t newcomer = 0;
    Request last{mortal};
};

INSTANTIATE_TEST_SUITE_P(Of, SettlementInACrowdAtEveryInstruction, testing::ValuesIn(kRates),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(SettlementInACrowdAtEveryInstruction, LosesNoEntryThatMoves) {
    ASSERT_NO_FATAL_FAILURE(crowd(Change::kMoved));
    Deaths deaths(memory, [&] { last.settle(0, 3, kNow); });
    check(&deaths, 0);
}

TEST_P(SettlementInACrowdAtEveryInstruction, LosesOnlyTheEvictedEntry) {
    ASSERT_NO_FATAL_FAILURE(crowd(Change::kPushedOut));
    Deaths deaths(memory, [&] { last.settle(0, 3, kNow); });
    g_is_dead[1] = true;
    // A process that repairs makes its own choice; each forgets one at most.
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        const Amount used = used_after(*left, 2, newcomer);
        ASSERT_TRUE(used == 3 || used == 5) << used << " in state " << i;
        ASSERT_FALSE(HasFailure()) << "state " << i;
        ASSERT_GE(entries_of(left->zone(), policy.used), keys.size()) << "state " << i;
    }
}

// --- the repair

TEST_P(SettlementAtEveryInstruction, ChargesADeadProcesssReservationOnceIfItsRepairerDiesToo) {
    use(kKey, 7);
    const Request request = hold(mortal, kKey, 300);
    g_is_dead[1] = true;
    ZoneUser repairer(zone, &kStepHost, 2);
    ASSERT_TRUE(repairer.journal()->begin_repair(mortal.journal()->number()));
    Deaths deaths(memory, [&] {
        settle_as_reserved(repairer.journal(), request.reservation(0).flight, kNow);
    });
    g_is_dead[2] = true;
    ASSERT_GT(deaths.count(), 20u);
    for (size_t i = 0; i < deaths.count(); ++i) {
        ASSERT_EQ(used_after(*deaths.state(i), 4), 307u) << "state " << i;
        ASSERT_FALSE(HasFailure()) << "state " << i;
    }
}

/** Steps through a repair from its beginning to its end, which takes long. */
class WholeRepairAtEveryInstruction : public SettlementAtEveryInstruction {};

INSTANTIATE_TEST_SUITE_P(Of, WholeRepairAtEveryInstruction,
                         testing::Values(Algorithm::kSlidingWindow),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(WholeRepairAtEveryInstruction, ChargesReservationsOnceWhenAProcessEnds) {
    hold(mortal, kKey, 300);
    hold(mortal, kKey, 20);
    Deaths deaths(memory, [&] { reclaim_self(mortal.journal(), kNow); });
    expect_either(&deaths, 320, 320);
}

TEST_P(WholeRepairAtEveryInstruction, ChargesReservationsOfADeadProcessOnce) {
    hold(mortal, kKey, 300);
    hold(mortal, kOtherKey, 40);
    Request request = hold(mortal, kKey, 8);
    Deaths deaths(memory, [&] { request.settle(0, 1, kNow); });
    g_is_dead[1] = true;
    // In the middle every lock is taken, and something is written.
    ZoneMemory* then = deaths.state(deaths.count() / 2);
    ASSERT_FALSE(is_at_rest(then->zone()));
    ZoneUser repairer(then->zone(), &kStepHost, 2);
    Deaths more(*then, [&] { reclaim_dead(repairer.journal(), kNow); });
    g_is_dead[2] = true;
    ASSERT_GT(more.count(), 60u);
    for (size_t i = 0; i < more.count(); ++i) {
        ZoneMemory* left = more.state(i);
        ASSERT_EQ(used_after(*left, 4), 308u) << "state " << i;
        ASSERT_FALSE(HasFailure()) << "state " << i;
        ZoneUser survivor(left->zone(), &kStepHost, 5);
        ASSERT_EQ(look(survivor, policy.used, kOtherKey, kNow), 40u) << "state " << i;
    }
}

}  // namespace
}  // namespace ai_limit
