// Kills a process at every instruction of a decision with sharers, of the end of a request and of a
// settlement, and checks what the key and the sharer have then.

#include <gtest/gtest.h>

#include "core/zone/bucket_pair.h"
#include "deaths.h"
#include "zone_memory.h"

namespace ai_limit {
namespace {

constexpr Now kNow{1'000'000'000, 1'755'780'000'000};
constexpr uint64_t kKey = 0x1234'5678'9abc'def0;
constexpr uint64_t kSharer = 5'000;
constexpr uint64_t kOther = 6'000;
constexpr Millis kForgotten = 70'000;  // then nobody is active anymore who asked last now

constexpr Now later(Millis millis) {
    return {kNow.monotonic + millis, kNow.wall + millis};
}

/** Process 1 is the one that dies. Process 3 lives. */
class SharersAtEveryInstruction : public Stepwise<testing::Test> {
protected:
    /** Takes back all that is left of processes that died. */
    static void repair(const ZoneUser& survivor) {
        reclaim_dead(survivor.journal(), kNow);
        EXPECT_TRUE(is_at_rest(survivor.zone()));
    }

    /** A kill may leave a wrong weight or need in the key's sums, but not for long. */
    static void expect_sums_to_be_forgotten(const ZoneUser& survivor, const Request& request) {
        const Charge& use = request[0];
        const KeyActivity* activity = find_activity(survivor.zone(), use.tag);
        const uint32_t present = slice_of(*use.limit, later(kForgotten).monotonic);
        if (activity != nullptr) {
            const OtherSharers others = others_of(*activity, {}, {present, kActivitySlices + 1});
            EXPECT_EQ(others.weights, 0U);
            EXPECT_EQ(others.claims, 0U);
        }
    }

    ZoneMemory memory{{8, 8, 4, 0, 1}};
    Zone zone = memory.zone();
    ZoneUser mortal{zone, &kStepHost, 1};
    ZoneUser other{zone, &kStepHost, 3};
};

class SharedSlotsAtEveryInstruction : public SharersAtEveryInstruction {
protected:
    Request request(const ZoneUser& user, uint64_t sharer) const {
        Request one(user);
        one.charge_shared(policy, kKey, sharer);
        return one;
    }

    uint64_t slots_of(const ZoneUser& user, uint64_t sharer) const {
        const Request one = request(user, sharer);
        const BucketPair home = bucket_pair_of(user.zone(), Algorithm::kSharerOfSlots,
                                               one.sharer(0).tag, policy.sharer.number);
        State state{};
        if (home.find().index != kNoCell) {
            load_state(home.find(), kWide, &state);
        }
        return state.sharer.slots;
    }

    /** In each state, only the living one's slot counts, for its key and for its sharer. */
    void expect_slots_back(Deaths* deaths) {
        ASSERT_GT(deaths->count(), 10U);
        g_is_dead[1] = true;
        for (size_t i = 0; i < deaths->count(); ++i) {
            ZoneUser survivor(deaths->state(i)->zone(), &kStepHost, 2);
            repair(survivor);
            ASSERT_EQ(peek(survivor, policy.use, kKey, kNow), 1U) << "state " << i;
            ASSERT_EQ(slots_of(survivor, kSharer), 1U) << "state " << i;
            ASSERT_EQ(flights_in(survivor.zone()), 2U) << "state " << i;
            expect_sums_to_be_forgotten(survivor, request(survivor, kSharer));
            ASSERT_TRUE(request(survivor, kSharer).admit(kNow)) << "state " << i;
            ASSERT_FALSE(HasFailure()) << "state " << i;
        }
    }

    SharedPolicy policy = add_shared_policy(zone, "slots", concurrency_limit(4));
};

TEST_F(SharedSlotsAtEveryInstruction, TakesASlotForKeyAndSharerOrForNeither) {
    ASSERT_TRUE(request(other, kSharer).admit(kNow));
    Request one = request(mortal, kSharer);
    bool passed = false;
    Deaths deaths(memory, [&] { passed = one.admit(kNow); });
    ASSERT_TRUE(passed);
    expect_slots_back(&deaths);
}

TEST_F(SharedSlotsAtEveryInstruction, GivesASlotBackOnce) {
    ASSERT_TRUE(request(other, kSharer).admit(kNow));
    Request one = request(mortal, kSharer);
    ASSERT_TRUE(one.admit(kNow));
    Deaths deaths(memory, [&] { one.end(); });
    expect_slots_back(&deaths);
}

TEST_F(SharedSlotsAtEveryInstruction, GivesSlotsBackOnceWhenAProcessEnds) {
    ASSERT_TRUE(request(other, kSharer).admit(kNow));
    ASSERT_TRUE(request(mortal, kSharer).admit(kNow));
    ASSERT_TRUE(request(mortal, kSharer).admit(kNow));
    Deaths deaths(memory, [&] { reclaim_self(mortal.journal(), kNow); });
    expect_slots_back(&deaths);
}

TEST_F(SharedSlotsAtEveryInstruction, TakesNothingForARefusedRequest) {
    ASSERT_TRUE(request(other, kSharer).admit(kNow));
    std::vector<Request> all;
    for (int i = 0; i < 3; ++i) {
        all.push_back(request(other, kOther));
        ASSERT_TRUE(all.back().admit(kNow));
    }
    Request one = request(mortal, kSharer);
    bool passed = true;
    Deaths deaths(memory, [&] { passed = one.admit(kNow); });
    ASSERT_FALSE(passed);
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneUser survivor(deaths.state(i)->zone(), &kStepHost, 2);
        repair(survivor);
        ASSERT_EQ(peek(survivor, policy.use, kKey, kNow), 4U) << "state " << i;
        ASSERT_EQ(slots_of(survivor, kSharer), 1U) << "state " << i;
        ASSERT_EQ(slots_of(survivor, kOther), 3U) << "state " << i;
        ASSERT_EQ(flights_in(survivor.zone()), 8U) << "state " << i;
    }
}

class SharedTokensAtEveryInstruction : public SharersAtEveryInstruction {
protected:
    Request request(const ZoneUser& user, uint64_t who, Amount reserve) const {
        Request one(user);
        one.charge_tokens(policy, kKey, reserve).for_sharer(sharer, who);
        return one;
    }

    /** What a key has used or reserved, and its sharer of its half. */
    struct Taken {
        Amount key;
        Amount part;
    };

    Taken taken(const ZoneUser& user) const {
        Request one = request(user, kSharer, 0);
        one.would_admit(later(kForgotten));
        return {one.used(0), 500 - one.sharer(0).part.left};
    }

    /** In each state one of these was taken, and each was in some state. */
    void expect_one_of(Deaths* deaths, const std::vector<Taken>& allowed) const {
        ASSERT_GT(deaths->count(), 10U);
        g_is_dead[1] = true;
        std::vector<bool> seen(allowed.size());
        for (size_t i = 0; i < deaths->count(); ++i) {
            ZoneUser survivor(deaths->state(i)->zone(), &kStepHost, 2);
            repair(survivor);
            expect_sums_to_be_forgotten(survivor, request(survivor, kSharer, 1));
            ASSERT_TRUE(request(survivor, kOther, 0).admit(later(kForgotten)));
            const Taken now = taken(survivor);
            bool found = false;
            for (size_t one = 0; one < allowed.size(); ++one) {
                const bool same = now.key == allowed[one].key && now.part == allowed[one].part;
                seen[one] = seen[one] || same;
                found = found || same;
            }
            ASSERT_TRUE(found) << now.key << ", " << now.part << " in state " << i;
            ASSERT_FALSE(HasFailure()) << "state " << i;
        }
        for (size_t one = 0; one < allowed.size(); ++one) {
            EXPECT_TRUE(seen[one]) << one;
        }
    }

    TokenPolicy policy =
        add_token_policy(zone, "tokens", limit_of_rate(Algorithm::kFixedWindow, "1000t/d"));
    ZonePolicy sharer = add_policy(zone, "tokens", sharer_limit(false));
};

TEST_F(SharedTokensAtEveryInstruction, ReservesForKeyAndSharerOrForNeither) {
    ASSERT_TRUE(request(other, kOther, 0).admit(kNow));
    Request one = request(mortal, kSharer, 300);
    bool passed = false;
    Deaths deaths(memory, [&] { passed = one.admit(kNow); });
    ASSERT_TRUE(passed);
    expect_one_of(&deaths, {{0, 0}, {300, 300}});
}

TEST_F(SharedTokensAtEveryInstruction, SettlesTheKeyBeforeItsSharer) {
    ASSERT_TRUE(request(other, kOther, 0).admit(kNow));
    Request one = request(mortal, kSharer, 300);
    ASSERT_TRUE(one.admit(kNow));
    Deaths deaths(memory, [&] { one.settle(0, 70, kNow); });
    expect_one_of(&deaths, {{300, 300}, {70, 300}, {70, 70}});
}

TEST_F(SharedTokensAtEveryInstruction, GrowsTheKeyBeforeItsSharer) {
    ASSERT_TRUE(request(other, kOther, 0).admit(kNow));
    Request one = request(mortal, kSharer, 300);
    ASSERT_TRUE(one.admit(kNow));
    Deaths deaths(memory, [&] { EXPECT_EQ(one.grow(0, 70, kNow), 70U); });
    expect_one_of(&deaths, {{300, 300}, {370, 300}, {370, 370}});
}

}  // namespace
}  // namespace ai_limit
