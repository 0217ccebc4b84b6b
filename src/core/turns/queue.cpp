#include "core/turns/queue.h"

#include "core/zone/table.h"

namespace ai_limit {

namespace {

constexpr uint32_t kProbes = 8;  // a queue lies in one of so many places

constexpr unsigned kOrderBits = 48;

// An arrival is a time in milliseconds, a number within it, and the process.
constexpr unsigned kNumberBits = 12;
constexpr unsigned kProcessBits = 10;

KeyQueue* place_at(const Zone& zone, uint64_t tag, uint32_t probe) {
    const uint32_t queues = zone.sizes().queues;
    const auto first = static_cast<uint32_t>(spread_index(tag, queues));
    return zone.queue((first + probe) % queues);
}

/** Writes the key's name, unless it is there. Operators see it, and nothing depends on it. */
void name_queue(KeyQueue* queue, const QueuedKey& key) {
    if (queue->named.load(std::memory_order_relaxed) != key.tag) {
        queue->named.store(0, std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_release);
        write_shown_name(key.text, &queue->name);
        queue->named.store(key.tag, std::memory_order_release);
    }
}

/** Two processes may begin the same queue in two places: the first one is taken. */
KeyQueue* begin_queue(const Zone& zone, const QueuedKey& key) {
    for (uint32_t probe = 0; probe < kProbes && probe < zone.sizes().queues; ++probe) {
        KeyQueue* queue = place_at(zone, key.tag, probe);
        uint64_t nobody = 0;
        if (queue->tag.compare_exchange_strong(nobody, key.tag) || nobody == key.tag) {
            queue->policy.store(key.policy, std::memory_order_relaxed);
            name_queue(queue, key);
            note_elsewhere(queue, {});
            return queue;
        }
    }
    return nullptr;
}

QueueOfWorker* take_place(KeyQueue* queue, uint32_t process) {
    for (QueueOfWorker& place : queue->workers) {
        if (place.process.load(std::memory_order_acquire) == process) {
            return &place;
        }
    }
    for (QueueOfWorker& place : queue->workers) {
        uint32_t nobody = 0;
        if (place.process.compare_exchange_strong(nobody, process)) {
            place.count.store(0, std::memory_order_release);
            return &place;
        }
    }
    return nullptr;
}

/** Reads the next turn in a place while its process may be changing it. */
Turn next_in(const QueueOfWorker& place) {
    Turn turn{};
    do {
        turn.order = place.order.load(std::memory_order_acquire);
        turn.arrival = place.arrival.load(std::memory_order_acquire);
    } while (turn.order != place.order.load(std::memory_order_acquire));
    return turn;
}

/** Has all processes that have waiters for the key look again. Whoever sees the change of the group
 * sees that of the queue. */
void raise_changes(const Zone& zone, KeyQueue* queue) {
    const uint32_t group = QueueChanges::group_of(queue->tag.load(std::memory_order_relaxed));
    queue->changes.fetch_add(1, std::memory_order_seq_cst);
    zone.queue_changes()->groups[group].fetch_add(1, std::memory_order_release);
}

/** Gives up a queue in which no process has a place. */
void give_up_if_empty(KeyQueue* queue) {
    for (const QueueOfWorker& other : queue->workers) {
        if (other.process.load(std::memory_order_acquire) != 0) {
            return;
        }
    }
    const uint64_t tag = queue->tag.exchange(0);
    for (const QueueOfWorker& other : queue->workers) {
        uint64_t nobody = 0;
        if (other.process.load(std::memory_order_seq_cst) != 0) {
            queue->tag.compare_exchange_strong(nobody, tag);  // one has joined meanwhile
        }
    }
}

}  // namespace

bool goes_before(const Turn& one, const Turn& other) {
    constexpr unsigned kShift = 64 - kOrderBits;
    const auto difference = static_cast<int64_t>((one.order - other.order) << kShift);
    return difference != 0 ? difference < 0 : one.arrival < other.arrival;
}

uint64_t arrival_at(Millis now, uint32_t process) {
    static uint64_t last = 0;
    const uint64_t earliest = static_cast<uint64_t>(now) << kNumberBits;
    last = last < earliest ? earliest : last + 1;
    return last << kProcessBits | (process & ((1 << kProcessBits) - 1));
}

Millis came_at(uint64_t arrival) {
    return static_cast<Millis>(arrival >> (kNumberBits + kProcessBits));
}

KeyQueue* find_queue(const Zone& zone, uint64_t tag) {
    for (uint32_t probe = 0; probe < kProbes && probe < zone.sizes().queues; ++probe) {
        KeyQueue* queue = place_at(zone, tag, probe);
        if (queue->tag.load(std::memory_order_acquire) == tag) {
            return queue;
        }
    }
    return nullptr;
}

QueueOfWorker* join_queue(const Journal& journal, const QueuedKey& key, KeyQueue** queue) {
    constexpr int kAttempts = 4;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        KeyQueue* found = find_queue(journal.zone(), key.tag);
        found = found != nullptr ? found : begin_queue(journal.zone(), key);
        QueueOfWorker* place = found != nullptr ? take_place(found, journal.number()) : nullptr;
        *queue = found;
        if (place == nullptr || found->tag.load(std::memory_order_seq_cst) == key.tag) {
            return place;
        }
        give_place_back(place, journal.number());  // others gave the queue up at the same time
        give_up_if_empty(found);                   // unless they saw this place, and kept it
    }
    return nullptr;
}

bool is_in_queue(const Journal& journal, uint64_t tag, const KeyQueue* queue,
                 const QueueOfWorker* place) {
    return find_queue(journal.zone(), tag) == queue &&
           place->process.load(std::memory_order_acquire) == journal.number();
}

void give_place_back(QueueOfWorker* place, uint32_t process) {
    place->process.compare_exchange_strong(process, 0);
}

void leave_queue(const Zone& zone, KeyQueue* queue, QueueOfWorker* place) {
    place->count.store(0, std::memory_order_release);
    place->process.store(0, std::memory_order_release);
    raise_changes(zone, queue);
    give_up_if_empty(queue);
}

uint32_t tell(const Zone& zone, KeyQueue* queue, QueueOfWorker* place, uint32_t count, Amount cost,
              const Turn& next) {
    const bool same = place->count.load(std::memory_order_relaxed) != 0 &&
                      place->order.load(std::memory_order_relaxed) == next.order &&
                      place->arrival.load(std::memory_order_relaxed) == next.arrival;
    place->order.store(next.order, std::memory_order_release);
    place->arrival.store(next.arrival, std::memory_order_release);
    place->cost.store(cost, std::memory_order_relaxed);
    place->count.store(count, std::memory_order_seq_cst);
    // Otherwise two workers would have each other look again for ever.
    if (same) {
        return 0;
    }
    raise_changes(zone, queue);
    return 1;
}

Waiting waiting_in(const KeyQueue& queue) {
    Waiting waiting{};
    for (const QueueOfWorker& place : queue.workers) {
        const uint32_t count = place.count.load(std::memory_order_acquire);
        waiting.count += count;
        waiting.cost += count != 0 ? place.cost.load(std::memory_order_relaxed) : 0;
        waiting.processes += count != 0 ? 1 : 0;
    }
    return waiting;
}

bool find_next(const KeyQueue& queue, Turn* next) {
    bool found = false;
    for (const QueueOfWorker& place : queue.workers) {
        if (place.count.load(std::memory_order_acquire) == 0) {
            continue;
        }
        const Turn turn = next_in(place);
        if (!found || goes_before(turn, *next)) {
            *next = turn;
            found = true;
        }
    }
    return found;
}

bool read_name(const KeyQueue& queue, ShownName* name) {
    const uint64_t tag = queue.named.load(std::memory_order_acquire);
    if (tag == 0 || tag != queue.tag.load(std::memory_order_relaxed)) {
        return false;
    }
    *name = copy_of(queue.name);
    std::atomic_thread_fence(std::memory_order_acquire);
    return queue.named.load(std::memory_order_relaxed) == tag;
}

WaitingElsewhere waiting_elsewhere(const KeyQueue& queue) {
    return {queue.others.load(std::memory_order_relaxed),
            queue.others_cost.load(std::memory_order_relaxed)};
}

void note_elsewhere(KeyQueue* queue, const WaitingElsewhere& waiting) {
    queue->others.store(waiting.count, std::memory_order_relaxed);
    queue->others_cost.store(waiting.cost, std::memory_order_relaxed);
}

bool waits_before(const KeyQueue& queue, const Turn& turn, const QueueOfWorker* own) {
    for (const QueueOfWorker& place : queue.workers) {
        if (&place != own && place.count.load(std::memory_order_seq_cst) != 0 &&
            goes_before(next_in(place), turn)) {
            return true;
        }
    }
    return false;
}

void note_room(const Zone& zone, uint64_t tag) {
    KeyQueue* queue = find_queue(zone, tag);
    if (queue != nullptr) {
        raise_changes(zone, queue);
    }
}

void note_room_everywhere(const Zone& zone) {
    for (uint32_t i = 0; i < zone.sizes().queues; ++i) {
        if (zone.queue(i)->tag.load(std::memory_order_acquire) != 0) {
            raise_changes(zone, zone.queue(i));
        }
    }
}

void free_places(const Zone& zone, uint32_t process) {
    for (uint32_t i = 0; i < zone.sizes().queues; ++i) {
        KeyQueue* queue = zone.queue(i);
        if (queue->tag.load(std::memory_order_acquire) == 0) {
            continue;
        }
        for (QueueOfWorker& place : queue->workers) {
            if (place.process.load(std::memory_order_acquire) == process) {
                leave_queue(zone, queue, &place);
            }
        }
    }
}

}  // namespace ai_limit
