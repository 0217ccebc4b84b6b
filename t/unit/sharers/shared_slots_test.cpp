// Slots that several sharers use.

#include <gtest/gtest.h>

#include "rate_zone.h"

namespace ai_limit {
namespace {

using rate_zone::kHost;
using rate_zone::kNow;
using rate_zone::later;

constexpr uint64_t kKey = 77'000;
constexpr uint64_t kGreedy = 5'000;
constexpr uint64_t kModest = 6'000;

ZoneSizes sizes() {
    return sizes_for(1 << 20, true, false, false, true);
}

struct SlotsZone : testing::Test {
    SlotsZone()
        : memory(sizes()),
          user(memory.zone(), &kHost, 1),
          policy(add_shared_policy(memory.zone(), "p", concurrency_limit(8))) {}

    /** A request that runs until it is ended. */
    std::unique_ptr<Request> begin(uint64_t sharer, Millis at = 0) {
        auto request = std::make_unique<Request>(user);
        const bool passes = request->charge_shared(policy, kKey, sharer).admit(later(at));
        return passes ? std::move(request) : nullptr;
    }

    std::vector<std::unique_ptr<Request>> begin_all(uint64_t sharer, Millis at = 0) {
        std::vector<std::unique_ptr<Request>> all;
        while (std::unique_ptr<Request> one = begin(sharer, at)) {
            all.push_back(std::move(one));
        }
        return all;
    }

    ZoneMemory memory;
    ZoneUser user;
    SharedPolicy policy;
};

TEST_F(SlotsZone, LoneSharerMayUseAll) {
    EXPECT_EQ(begin_all(kGreedy).size(), 8U);
}

TEST_F(SlotsZone, LongRequestThatEndsLeavesTheOthersActive) {
    std::unique_ptr<Request> one = begin(kGreedy);
    ASSERT_NE(one, nullptr);
    // Nine slices later, the sums of the present slice lie where those of the first were.
    constexpr Millis kNineSlices = 9 * 7'500;
    ASSERT_NE(begin(kModest, kNineSlices), nullptr);
    one->end();
    Request asked(user);
    asked.charge_shared(policy, kKey, kGreedy).admit(later(kNineSlices));
    EXPECT_EQ(asked.sharer(0).part.weights, 2U);
}

TEST_F(SlotsZone, GreedySharerLeavesTheSlotsThatAnotherNeeds) {
    std::unique_ptr<Request> one = begin(kModest);
    std::unique_ptr<Request> other = begin(kModest);
    const size_t greedy = begin_all(kGreedy).size();
    EXPECT_EQ(greedy, 6U);
    one->end();
    EXPECT_EQ(begin(kGreedy), nullptr) << "the other still needs its slot";
    EXPECT_NE(begin(kModest), nullptr);
}

TEST_F(SlotsZone, SharerThatNeedsMoreGetsWhatComesBackUpToItsPart) {
    std::unique_ptr<Request> first = begin(kModest);
    std::vector<std::unique_ptr<Request>> greedy = begin_all(kGreedy);
    ASSERT_EQ(greedy.size(), 7U);
    for (size_t expected = 2; expected <= 4; ++expected) {
        EXPECT_EQ(begin(kModest, 10), nullptr);
        greedy.back()->end();
        greedy.pop_back();
        EXPECT_EQ(begin(kGreedy, 10), nullptr);
        EXPECT_NE(begin(kModest, 10), nullptr) << expected;
    }
}

TEST_F(SlotsZone, AllSlotsComeBack) {
    for (int i = 0; i < 100; ++i) {
        std::vector<std::unique_ptr<Request>> all = begin_all(kGreedy, i);
        ASSERT_EQ(all.size(), 8U) << i;
        for (std::unique_ptr<Request>& one : all) {
            one->end();
        }
    }
}

TEST_F(SlotsZone, SlotsOfADeadProcessComeBackToItsSharer) {
    static bool dies;
    dies = false;
    static const Host host = {[](uint32_t pid, uint64_t) { return pid != 2 || !dies; }, [] {}};
    ZoneUser survivor(memory.zone(), &host, 3);
    {
        ZoneUser victim(memory.zone(), &host, 2);
        for (int i = 0; i < 4; ++i) {
            Request request(victim);
            ASSERT_TRUE(request.charge_shared(policy, kKey, kGreedy).admit(kNow));
        }
    }
    std::unique_ptr<Request> modest = begin(kModest);
    dies = true;
    reclaim_dead(survivor.journal(), kNow);
    // Half of the slots are its part.
    EXPECT_GE(begin_all(kGreedy).size(), 4U);
}

}  // namespace
}  // namespace ai_limit
