#include "core/observe/top_keys.h"

#include <cstring>

#include "core/observe/displacement.h"

namespace ai_limit {

namespace {

constexpr uint64_t kBeingWritten = 1;  // no tag: they are 256 or more

/** Whoever is first empties the list for a new time. */
bool begin_list(TopList* list, uint64_t epoch) {
    uint64_t before = list->epoch.load(std::memory_order_relaxed);
    if (before == epoch) {
        return true;
    }
    // Times that are over do not come back: processes' clocks differ by a moment.
    if (before > epoch || !list->epoch.compare_exchange_strong(before, epoch)) {
        return before == epoch;
    }
    for (TopSet& set : list->sets) {
        for (uint32_t way = 0; way < kTopWays; ++way) {
            set.tags[way].store(0, std::memory_order_relaxed);
            set.counts[way].store(0, std::memory_order_relaxed);
        }
    }
    return true;
}

uint32_t least_of(const TopSet& set) {
    uint32_t least = 0;
    for (uint32_t way = 1; way < kTopWays; ++way) {
        if (set.counts[way].load(std::memory_order_relaxed) <
            set.counts[least].load(std::memory_order_relaxed)) {
            least = way;
        }
    }
    return least;
}

/** One place of a list, read while others may write it. False if there is nothing to read. */
bool read_place(const TopList& list, uint32_t set, uint32_t way, TopKey* key) {
    const std::atomic<uint64_t>& tag = list.sets[set].tags[way];
    const TopLabel& label = list.labels[set][way];
    key->tag = tag.load(std::memory_order_acquire);
    if (key->tag <= kBeingWritten) {
        return false;
    }
    uint64_t count = list.sets[set].counts[way].load(std::memory_order_relaxed);
    uint64_t inherited = label.inherited.load(std::memory_order_relaxed);
    key->count = count > inherited ? count - inherited : 0;
    key->name = copy_of(label.key);
    key->label = copy_of(label.label);
    std::atomic_thread_fence(std::memory_order_acquire);
    return tag.load(std::memory_order_relaxed) == key->tag && key->count != 0;
}

/** Keeps the best in order; `count` are there. */
size_t keep_best(const TopKey& key, TopKey* best, size_t count, size_t most) {
    size_t place = count;
    while (place > 0 && best[place - 1].count < key.count) {
        --place;
    }
    if (place == most) {
        return count;
    }
    size_t moved = (count < most ? count : most - 1) - place;
    std::memmove(&best[place + 1], &best[place], moved * sizeof(TopKey));
    best[place] = key;
    return count < most ? count + 1 : count;
}

/** Returns the key's count in the other list, at whichever place it stands there. */
uint64_t count_in(const TopList& list, uint64_t tag) {
    uint32_t set = tag >> 32 & (kTopSets - 1);
    TopKey key;
    for (uint32_t way = 0; way < kTopWays; ++way) {
        if (read_place(list, set, way, &key) && key.tag == tag) {
            return key.count;
        }
    }
    return 0;
}

/** True if the list's counts are still shown. */
bool is_shown(const TopList& list, uint64_t epoch) {
    uint64_t of = list.epoch.load(std::memory_order_relaxed);
    return of != 0 && of + 1 >= epoch && of <= epoch;
}

double part_that_remains(const Standing& said) {
    return static_cast<double>(said.remaining) / static_cast<double>(said.limit);
}

}  // namespace

void note_new_key(TopList* list, uint64_t epoch, uint64_t tag, std::string_view key,
                  uint64_t amount, std::string_view label) {
    if (amount == 0 || !begin_list(list, epoch)) {
        return;
    }
    uint32_t index = tag >> 32 & (kTopSets - 1);
    TopSet* set = &list->sets[index];
    uint32_t way = least_of(*set);
    uint64_t before = set->tags[way].load(std::memory_order_relaxed);
    uint64_t least = set->counts[way].load(std::memory_order_relaxed);
    if (before != 0 && !displaces(amount, least)) {
        return;
    }
    if (before == kBeingWritten || !set->tags[way].compare_exchange_strong(before, kBeingWritten)) {
        return;
    }
    TopLabel* shown = &list->labels[index][way];
    write_shown_name(key, &shown->key);
    write_shown_label(label, &shown->label);
    shown->inherited.store(least, std::memory_order_relaxed);
    set->counts[way].store(least + amount, std::memory_order_relaxed);
    set->tags[way].store(tag, std::memory_order_release);
}

bool find_label(const TopKeys& keys, uint64_t tag, ShownLabel* label) {
    const uint32_t set = tag >> 32 & (kTopSets - 1);
    for (const auto& of_measure : keys.lists) {
        for (const TopList& list : of_measure) {
            for (uint32_t way = 0; way < kTopWays; ++way) {
                TopKey key;
                if (read_place(list, set, way, &key) && key.tag == tag && key.label.size != 0) {
                    *label = key.label;
                    return true;
                }
            }
        }
    }
    return false;
}

size_t read_day_keys(const TopList& list, DayNumber day, TopKey* best, size_t most) {
    size_t count = 0;
    if (list.epoch.load(std::memory_order_relaxed) != epoch_of_day(day)) {
        return count;
    }
    for (uint32_t place = 0; place < kTopSets * kTopWays; ++place) {
        TopKey key;
        if (read_place(list, place / kTopWays, place % kTopWays, &key)) {
            count = keep_best(key, best, count, most);
        }
    }
    return count;
}

size_t read_top_keys(const TopKeys& keys, TopMeasure measure, uint64_t epoch, TopKey* best,
                     size_t most) {
    const TopList* lists = keys.lists[static_cast<size_t>(measure)];
    size_t count = 0;
    for (uint32_t i = 0; i < 2; ++i) {
        const TopList& other = lists[1 - i];
        if (!is_shown(lists[i], epoch)) {
            continue;
        }
        bool has_other = is_shown(other, epoch);
        bool is_older = has_other && lists[i].epoch.load(std::memory_order_relaxed) < epoch;
        for (uint32_t place = 0; place < kTopSets * kTopWays; ++place) {
            TopKey key;
            if (!read_place(lists[i], place / kTopWays, place % kTopWays, &key)) {
                continue;
            }
            uint64_t elsewhere = has_other ? count_in(other, key.tag) : 0;
            // Told once, by the newer list.
            if (elsewhere != 0 && is_older) {
                continue;
            }
            key.count += elsewhere;
            count = keep_best(key, best, count, most);
        }
    }
    return count;
}

bool has_key(const NearKeys& near, uint64_t tag) {
    for (size_t i = 0; i < near.count; ++i) {
        if (near.keys[i].key.tag == tag) {
            return true;
        }
    }
    return false;
}

void add_near_key(const NearKey& key, NearKeys* near) {
    if (key.said.limit == 0 || key.said.remaining > key.said.limit / 2) {
        return;
    }
    size_t place = near->count;
    while (place > 0 &&
           part_that_remains(key.said) < part_that_remains(near->keys[place - 1].said)) {
        --place;
    }
    if (place == kMostNearKeys) {
        return;
    }
    near->count += near->count < kMostNearKeys ? 1 : 0;
    for (size_t i = near->count - 1; i > place; --i) {
        near->keys[i] = near->keys[i - 1];
    }
    near->keys[place] = key;
}

}  // namespace ai_limit
