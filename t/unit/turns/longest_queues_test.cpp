// The keys for which requests wait, as operators see them.

#include "core/turns/longest_queues.h"

#include <gtest/gtest.h>

#include "rate_zone.h"

namespace ai_limit {
namespace {

using rate_zone::kNow;

constexpr uint32_t kPolicy = 7;

struct LongestQueues : testing::Test {
    LongestQueues()
        : memory([] {
              ZoneSizes sizes = sizes_for(1 << 20, true, false);
              sizes.queues = 256;
              return sizes;
          }()),
          one(memory.zone(), &kAllAlive, 1),
          other(memory.zone(), &kAllAlive, 2) {}

    /** Has requests of one process wait for a key since some milliseconds. */
    static void wait(const ZoneUser& user, uint64_t tag, std::string_view key, uint32_t count,
                     Millis since, uint64_t order = 0, uint32_t policy = kPolicy) {
        KeyQueue* queue = nullptr;
        QueueOfWorker* place = join_queue(*user.journal(), {tag, policy, key}, &queue);
        ASSERT_NE(place, nullptr);
        const auto came = static_cast<uint64_t>(kNow.monotonic - since);
        tell(user.zone(), queue, place, count, count,
             {order, came << 22 | user.journal()->number()});
    }

    const WaitingKeyViews& look() {
        read_waiting_keys(memory.zone(), kPolicy, kNow.monotonic, &views);
        return views;
    }

    ZoneMemory memory;
    ZoneUser one;
    ZoneUser other;
    WaitingKeyViews views{};
};

TEST_F(LongestQueues, AddsUpWhatWaitsInAllProcesses) {
    wait(one, 0x1000, "key:alice", 2, 1'500);
    wait(other, 0x1000, "key:alice", 3, 2'250);
    ASSERT_EQ(look().count, 1U);
    EXPECT_EQ(views.keys[0].key.view(), "key:alice");
    EXPECT_TRUE(views.keys[0].key.is_whole);
    EXPECT_EQ(views.keys[0].count, 5U);
    EXPECT_EQ(views.keys[0].waited, 2'250);
}

TEST_F(LongestQueues, TimeIsThatOfTheNextOneWhereOthersCameEarlier) {
    wait(one, 0x1000, "key:alice", 1, 9'000, 50);
    wait(other, 0x1000, "key:alice", 1, 300, 20);
    ASSERT_EQ(look().count, 1U);
    EXPECT_EQ(views.keys[0].waited, 300);
}

TEST_F(LongestQueues, SecretsAreShortened) {
    wait(one, 0x1000, "sk-1234567890abcdef", 1, 0);
    ASSERT_EQ(look().count, 1U);
    EXPECT_EQ(views.keys[0].key.view(),
              "sk-1\xE2\x80\xA6"
              "cdef");
    EXPECT_FALSE(views.keys[0].key.is_whole);
}

TEST_F(LongestQueues, ShowsThoseOfThisPolicyWithMostWaitersFirst) {
    for (uint32_t i = 1; i <= 30; ++i) {
        wait(one, 0x1000 + (uint64_t{i} << 32), "ip:" + std::to_string(i), i * 7 % 31, i);
    }
    wait(one, 0x999900, "key:elsewhere", 1'000, 0, 0, kPolicy + 1);
    ASSERT_EQ(look().count, kShownWaitingKeys);
    for (uint32_t i = 0; i < kShownWaitingKeys; ++i) {
        EXPECT_EQ(views.keys[i].count, 30 - i);
        // i * 7 = count modulo 31
        EXPECT_EQ(views.keys[i].key.view(), "ip:" + std::to_string((30 - i) * 9 % 31));
    }
}

TEST_F(LongestQueues, QueueThatBeginsAtAnothersPlaceHasItsOwnName) {
    KeyQueue* queue = nullptr;
    QueueOfWorker* place = join_queue(*one.journal(), {0x1000, kPolicy, "key:alice"}, &queue);
    leave_queue(memory.zone(), queue, place);
    EXPECT_EQ(look().count, 0U);
    wait(one, 0x1100, "key:bob", 1, 0);
    ASSERT_EQ(look().count, 1U);
    EXPECT_EQ(views.keys[0].key.view(), "key:bob");
}

TEST_F(LongestQueues, NameOfAnotherKeyIsNotShown) {
    wait(one, 0x1000, "key:alice", 1, 0);
    find_queue(memory.zone(), 0x1000)->named.store(0x2000);
    ASSERT_EQ(look().count, 1U);
    EXPECT_EQ(views.keys[0].key.view(), "");
}

}  // namespace
}  // namespace ai_limit
