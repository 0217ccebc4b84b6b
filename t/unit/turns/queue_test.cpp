// Who waits for a key, as several processes tell each other.

#include "core/turns/queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>
#include <utility>

#include "rate_zone.h"

namespace ai_limit {
namespace {

using rate_zone::kNow;

constexpr uint64_t kTag = 0x123456789a;

ZoneSizes sizes(uint32_t queues = 64) {
    ZoneSizes sizes = sizes_for(1 << 20, true, false);
    sizes.queues = queues;
    return sizes;
}

struct Queues : testing::Test {
    Queues()
        : memory(sizes()), one(memory.zone(), &kAllAlive, 1), other(memory.zone(), &kAllAlive, 2) {}

    struct Place {
        KeyQueue* queue;
        QueueOfWorker* place;
    };
    static Place join(const ZoneUser& user, uint64_t tag = kTag) {
        Place joined{};
        joined.place = join_queue(*user.journal(), {tag, 7, "alice"}, &joined.queue);
        return joined;
    }

    ZoneMemory memory;
    ZoneUser one;
    ZoneUser other;
};

TEST_F(Queues, RequestOfAnotherProcessThatCameEarlierGoesFirst) {
    const Place early = join(one);
    const Place late = join(other);
    ASSERT_EQ(early.queue, late.queue);
    const Turn first = {0, arrival_at(kNow.monotonic, 1)};
    const Turn second = {0, arrival_at(kNow.monotonic, 2)};
    tell(memory.zone(), early.queue, early.place, 1, 1, first);
    tell(memory.zone(), late.queue, late.place, 1, 1, second);
    EXPECT_FALSE(waits_before(*early.queue, first, early.place));
    EXPECT_TRUE(waits_before(*late.queue, second, late.place));
    leave_queue(memory.zone(), early.queue, early.place);
    EXPECT_FALSE(waits_before(*late.queue, second, late.place));
}

TEST_F(Queues, SharerThatHadLessGoesBeforeWhoCameEarlier) {
    const Place place = join(one);
    tell(memory.zone(), place.queue, place.place, 1, 1, {100, arrival_at(kNow.monotonic, 1)});
    EXPECT_FALSE(waits_before(*place.queue, {50, arrival_at(kNow.monotonic, 2)}, nullptr));
    EXPECT_TRUE(waits_before(*place.queue, {150, arrival_at(kNow.monotonic, 2)}, nullptr));
}

TEST_F(Queues, OrdersAreComparedOverTheEndOfTheirNumbers) {
    const uint64_t last = (uint64_t{1} << 48) - 1;
    EXPECT_TRUE(goes_before({last, 2}, {3, 1}));
    EXPECT_FALSE(goes_before({3, 1}, {last, 2}));
    EXPECT_TRUE(goes_before({3, 1}, {3, 2}));
}

TEST_F(Queues, QueueIsGoneWhenNobodyWaits) {
    const Place early = join(one);
    const Place late = join(other);
    leave_queue(memory.zone(), early.queue, early.place);
    EXPECT_NE(find_queue(memory.zone(), kTag), nullptr);
    leave_queue(memory.zone(), late.queue, late.place);
    EXPECT_EQ(find_queue(memory.zone(), kTag), nullptr);
}

TEST_F(Queues, AllThatWaitAreCounted) {
    const Place early = join(one);
    const Place late = join(other);
    tell(memory.zone(), early.queue, early.place, 3, 30, {0, 1});
    tell(memory.zone(), late.queue, late.place, 2, 5, {0, 2});
    const Waiting waiting = waiting_in(*early.queue);
    EXPECT_EQ(waiting.count, 5U);
    EXPECT_EQ(waiting.cost, 35U);
    EXPECT_EQ(waiting.processes, 2U);
}

TEST_F(Queues, DeadProcessHoldsUpNobody) {
    static bool dies;
    dies = false;
    static const Host host = {[](uint32_t pid, uint64_t) { return pid != 3 || !dies; }, [] {}};
    ZoneUser survivor(memory.zone(), &host, 4);
    ZoneUser victim(memory.zone(), &host, 3);
    const Place place = join(victim);
    tell(memory.zone(), place.queue, place.place, 1, 1, {0, 1});
    dies = true;
    reclaim_dead(survivor.journal(), kNow);
    EXPECT_EQ(find_queue(memory.zone(), kTag), nullptr);
}

TEST_F(Queues, KeysBeyondThoseThatTheZoneHasRoomForHaveNoQueue) {
    std::set<const KeyQueue*> queues;
    uint32_t refused = 0;
    for (uint64_t tag = 1; tag <= 1000; ++tag) {
        const Place place = join(one, tag * 0x9E3779B97F4A7C15);
        if (place.place == nullptr) {
            ++refused;
        } else {
            EXPECT_TRUE(queues.insert(place.queue).second);
        }
    }
    EXPECT_LE(queues.size(), 64U);
    EXPECT_EQ(queues.size() + refused, 1000U);
    EXPECT_GE(queues.size(), 48U);
}

TEST_F(Queues, ZoneWithoutWaitsHasNone) {
    ZoneMemory plain(sizes(0));
    ZoneUser user(plain.zone(), &kAllAlive, 1);
    EXPECT_EQ(join(user).place, nullptr);
    EXPECT_EQ(find_queue(plain.zone(), kTag), nullptr);
    note_room(plain.zone(), kTag);
}

TEST_F(Queues, TellingTheSameAgainChangesNothing) {
    const Place place = join(one);
    tell(memory.zone(), place.queue, place.place, 1, 1, {0, 5});
    const uint32_t before = place.queue->changes.load();
    tell(memory.zone(), place.queue, place.place, 2, 2, {0, 5});
    EXPECT_EQ(place.queue->changes.load(), before);
    tell(memory.zone(), place.queue, place.place, 1, 1, {0, 6});
    EXPECT_NE(place.queue->changes.load(), before);
    const uint32_t then = place.queue->changes.load();
    note_room(memory.zone(), kTag);
    EXPECT_NE(place.queue->changes.load(), then);
}

/** A process with waiters for thousands of keys reads only the counters of groups. */
TEST_F(Queues, EveryChangeOfAQueueIsOneOfItsGroup) {
    std::atomic<uint32_t>& group =
        memory.zone().queue_changes()->groups[QueueChanges::group_of(kTag)];
    uint32_t seen = group.load();
    const auto has_changed = [&] { return std::exchange(seen, group.load()) != seen; };
    note_room(memory.zone(), kTag);
    EXPECT_FALSE(has_changed()) << "nobody waits";
    const Place place = join(one);
    const Place leaving = join(other);
    EXPECT_EQ(tell(memory.zone(), place.queue, place.place, 1, 1, {0, 5}), 1U);
    EXPECT_TRUE(has_changed());
    EXPECT_EQ(tell(memory.zone(), place.queue, place.place, 2, 2, {0, 5}), 0U);
    EXPECT_FALSE(has_changed()) << "the next one is the same";
    note_room(memory.zone(), kTag);
    EXPECT_TRUE(has_changed());
    leave_queue(memory.zone(), leaving.queue, leaving.place);
    EXPECT_TRUE(has_changed());
    leave_queue(memory.zone(), place.queue, place.place);
    EXPECT_TRUE(has_changed());
}

TEST_F(Queues, ArrivalsAreInTheOrderInWhichTheyCame) {
    uint64_t last = 0;
    for (int i = 0; i < 10'000; ++i) {
        const uint64_t arrival = arrival_at(kNow.monotonic + i / 5'000, 1 + i % 3);
        ASSERT_GT(arrival, last);
        last = arrival;
    }
}

/** Threads that take turns as workers do: each gets its turn in the end. */
TEST_F(Queues, EveryTurnComes) {
    constexpr int kTimes = 2'000;
    std::atomic<uint64_t> arrivals{0};
    std::atomic<int> served{0};
    const auto work = [&](const ZoneUser& user) {
        for (int i = 0; i < kTimes;) {
            Place joined{};
            do {
                joined.place = join_queue(*user.journal(), {kTag, 7, "alice"}, &joined.queue);
            } while (joined.place == nullptr);
            const Turn turn = {0, ++arrivals};
            tell(memory.zone(), joined.queue, joined.place, 1, 1, turn);
            while (waits_before(*joined.queue, turn, joined.place)) {
                std::this_thread::yield();
            }
            // Another process may have given the queue up in the moment in which this one joined.
            const int came = joined.queue->tag.load() == kTag ? 1 : 0;
            i += came;
            served += came;
            leave_queue(memory.zone(), joined.queue, joined.place);
        }
    };
    std::thread thread(work, std::cref(one));
    work(other);
    thread.join();
    EXPECT_GE(served, 2 * kTimes);
    EXPECT_EQ(find_queue(memory.zone(), kTag), nullptr);
}

}  // namespace
}  // namespace ai_limit
