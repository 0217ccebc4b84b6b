#pragma once

// The memory of who waits for a turn on a key (turns/queue.h). A waiting request lies in its
// worker; the zone has only what workers must know of each other: how many wait in each, and which
// is the next there.

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/zone/shown_name.h"

namespace ai_limit {

// Processes of which requests may wait for one key, workers of older configurations included.
constexpr uint32_t kQueueWorkers = 64;

/** What one worker tells the others. Only it writes here. */
struct QueueOfWorker {
    std::atomic<uint32_t> process;  // its number; 0: a free place
    std::atomic<uint32_t> count;    // of requests that wait; 0: none, and the rest says nothing
    std::atomic<uint64_t> order;    // of its next request
    std::atomic<uint64_t> arrival;
    std::atomic<uint64_t> cost;  // of all that wait, in the limit's unit
};

/** The queue of one key. */
struct alignas(64) KeyQueue {
    std::atomic<uint64_t> tag;  // of the key's entry; 0: a free place
    std::atomic<uint32_t> policy;
    std::atomic<uint32_t> changes;  // raised when a turn may have come for somebody
    std::atomic<uint64_t> named;    // the tag of the key whose name follows; 0: nobody's
    ShownName name;
    QueueOfWorker workers[kQueueWorkers];
    // On other nodes.
    std::atomic<uint32_t> others;
    std::atomic<uint64_t> others_cost;
};

/**
 * Counters over the queues of many keys each: one is raised when `changes` of a queue of its keys
 * has been. A process learns from them that nothing has changed, however many keys it has waiters
 * for.
 */
struct alignas(64) QueueChanges {
    static constexpr uint32_t kGroups = 256;
    std::atomic<uint32_t> groups[kGroups];

    /** The group of a key, by the tag of its entry. */
    static constexpr uint32_t group_of(uint64_t tag) {
        return static_cast<uint32_t>(tag >> 20 ^ tag) % kGroups;
    }
};

/** An 8th of the bytes for entries, but room for 64 keys at least, and for 65,536 at most. */
constexpr uint32_t queues_for(size_t bytes) {
    constexpr size_t kLeast = 64;
    constexpr size_t kMost = 1 << 16;
    const size_t queues = bytes / 8 / sizeof(KeyQueue);
    return static_cast<uint32_t>(queues < kLeast ? kLeast : queues > kMost ? kMost : queues);
}

}  // namespace ai_limit
