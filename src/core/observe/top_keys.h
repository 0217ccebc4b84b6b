#pragma once

// The keys of a policy that stand out: a heavy-hitter sketch of constant size. A key that has a
// place is counted exactly. One that has none may displace the least of its set (displacement.h).
// The sets are of four.

#include <string_view>

#include "core/observe/day_count.h"
#include "core/words/types.h"
#include "core/zone/statistics.h"

namespace ai_limit {

/** The measure by which keys stand out. */
enum class TopMeasure : uint8_t {
    kRequests,
    kRefusals,
    kCharges,  // in what the policy counts: tokens, or millionths of a dollar
};

/**
 * The time for which a list counts, beside the one before. The counts that are shown are 5 to 10
 * minutes old.
 */
constexpr Millis kTopEpoch = 300'000;

struct TopKey {
    uint64_t tag;
    uint64_t count;  // seen since the key has its place: never more than it truly was
    ShownName name;
    ShownLabel label;

    std::string_view shown() const { return name.view(); }
};

constexpr uint64_t epoch_of(Millis monotonic) {
    return static_cast<uint64_t>(monotonic / kTopEpoch) + 1;
}

/** The time of a list that counts for one day. */
constexpr uint64_t epoch_of_day(DayNumber day) {
    return uint64_t{day} + 1;
}

/** note_key() where the key has no place, or the list is of another time. */
void note_new_key(TopList* list, uint64_t epoch, uint64_t tag, std::string_view key,
                  uint64_t amount, std::string_view label);

/** Counts a key in a list with `amount`. `tag` stands for it, and is not 0. `label`: what is shown
 * beside it. */
inline void note_in_list(TopList* list, uint64_t epoch, uint64_t tag, std::string_view key,
                         uint64_t amount, std::string_view label = {}) {
    if (list->epoch.load(std::memory_order_relaxed) == epoch) {
        TopSet* set = &list->sets[tag >> 32 & (kTopSets - 1)];
        for (uint32_t way = 0; way < kTopWays; ++way) {
            if (set->tags[way].load(std::memory_order_relaxed) == tag) {
                set->counts[way].fetch_add(amount, std::memory_order_relaxed);
                return;
            }
        }
    }
    note_new_key(list, epoch, tag, key, amount, label);
}

/** The same in the list for this measure and this time. */
inline void note_key(TopKeys* keys, TopMeasure measure, uint64_t epoch, uint64_t tag,
                     std::string_view key, uint64_t amount, std::string_view label = {}) {
    note_in_list(&keys->lists[static_cast<size_t>(measure)][epoch % 2], epoch, tag, key, amount,
                 label);
}

/** Finds the label of a key, while it is one that stands out or did lately. False if none is known.
 */
bool find_label(const TopKeys& keys, uint64_t tag, ShownLabel* label);

/** The same as read_top_keys() for a list that counts for one day. */
size_t read_day_keys(const TopList& list, DayNumber day, TopKey* best, size_t most);

/** Writes the `most` keys that stand out, the first one most; returns how many there are. */
size_t read_top_keys(const TopKeys& keys, TopMeasure measure, uint64_t epoch, TopKey* best,
                     size_t most);

/** A key that stands out, and how near it is to its limit. */
struct NearKey {
    TopKey key;
    Standing said;
};

constexpr size_t kMostNearKeys = 10;

/** The one of which the smallest part of its limit remains comes first. */
struct NearKeys {
    size_t count;
    NearKey keys[kMostNearKeys];
};

/** True if the list has the key. */
bool has_key(const NearKeys& near, uint64_t tag);

/** Adds a key that has used at least half of its limit, in its order. */
void add_near_key(const NearKey& key, NearKeys* near);

}  // namespace ai_limit
