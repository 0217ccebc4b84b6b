#include "core/sharers/activity.h"

#include <algorithm>

#include "core/zone/table.h"

namespace ai_limit {

namespace {

constexpr unsigned kSliceShift = 40;
constexpr uint64_t kSumMask = (uint64_t{1} << kSliceShift) - 1;
constexpr Millis kLongestActive = 60'000;

/** Returns the sum in a word that belongs to a recent slice. */
uint64_t sum_in(const std::atomic<uint64_t>& word, uint32_t now) {
    const uint64_t value = word.load(std::memory_order_relaxed);
    return is_recent_slice(static_cast<uint32_t>(value >> kSliceShift), now) ? value & kSumMask : 0;
}

/** Adds to the sum of a slice, which begins where the word is another's, and takes from it. */
void change(std::atomic<uint64_t>* word, uint64_t slice, uint64_t less, uint64_t more) {
    uint64_t before = word->load(std::memory_order_relaxed);
    uint64_t after = 0;
    do {
        const uint64_t sum = before >> kSliceShift == slice ? before & kSumMask : 0;
        after = slice << kSliceShift | std::min(sum - std::min(sum, less) + more, kSumMask);
    } while (!word->compare_exchange_weak(before, after, std::memory_order_relaxed));
}

/** Takes from the sum of a slice, if the word is still that slice's. */
void take(std::atomic<uint64_t>* word, uint64_t slice, uint64_t amount) {
    uint64_t before = word->load(std::memory_order_relaxed);
    uint64_t after = 0;
    do {
        if (before >> kSliceShift != slice) {
            return;
        }
        const uint64_t sum = before & kSumMask;
        after = slice << kSliceShift | (sum - std::min(sum, amount));
    } while (!word->compare_exchange_weak(before, after, std::memory_order_relaxed));
}

SliceOfActivity* at(KeyActivity* activity, uint64_t slice) {
    return &activity->slices[slice % (kActivitySlices + 1)];
}

/** True if the word's slice is one of so many latest ones. */
bool is_within(const std::atomic<uint64_t>& word, uint32_t now, uint32_t slices) {
    const auto slice = static_cast<uint32_t>(word.load(std::memory_order_relaxed) >> kSliceShift);
    return ((now - slice) & kSliceMask) < slices;
}

bool is_of_later_slice(const std::atomic<uint64_t>& word, uint32_t slice) {
    const auto other = static_cast<uint32_t>(word.load(std::memory_order_relaxed) >> kSliceShift);
    return other != slice && ((other - slice) & kSliceMask) <= kSliceMask / 2;
}

/** False if another key has taken the place meanwhile. */
bool begin(KeyActivity* way, uint64_t tag) {
    uint64_t before = way->tag.load(std::memory_order_relaxed);
    if (!way->tag.compare_exchange_strong(before, tag, std::memory_order_acq_rel)) {
        return false;
    }
    for (SliceOfActivity& slice : way->slices) {
        slice.weights.store(0, std::memory_order_relaxed);
        slice.needs.store(0, std::memory_order_relaxed);
        slice.used.store(0, std::memory_order_relaxed);
    }
    way->served.store(0, std::memory_order_relaxed);
    return true;
}

ActivitySet* set_of(const Zone& zone, uint64_t tag) {
    return zone.activity(static_cast<uint32_t>(spread_index(tag, zone.sizes().activity_sets)));
}

KeyActivity* oldest_of(ActivitySet* set) {
    KeyActivity* oldest = set->ways;
    for (KeyActivity& way : set->ways) {
        if (way.last_use.load(std::memory_order_relaxed) <
            oldest->last_use.load(std::memory_order_relaxed)) {
            oldest = &way;
        }
    }
    return oldest;
}

}  // namespace

bool is_recent_slice(uint32_t slice, uint32_t present) {
    return ((present - slice) & kSliceMask) <= kActivitySlices;
}

Millis slice_length(const Limit& limit) {
    const Millis period = limit.period_length > 0 ? limit.period_length : kLongestActive;
    return std::max<Millis>(std::min(period, kLongestActive) / kActivitySlices, 1);
}

uint32_t slice_of(const Limit& limit, Millis now) {
    return static_cast<uint32_t>(now / slice_length(limit)) & kSliceMask;
}

KeyActivity* find_activity(const Zone& zone, uint64_t tag) {
    const uint32_t sets = zone.sizes().activity_sets;
    return sets != 0 ? find_way(set_of(zone, tag), tag) : nullptr;
}

KeyActivity* use_activity(const Zone& zone, uint64_t tag, Millis now) {
    if (zone.sizes().activity_sets == 0) {
        return nullptr;
    }
    ActivitySet* set = set_of(zone, tag);
    KeyActivity* found = find_way(set, tag);
    while (found == nullptr) {
        // Another key may take the place at the same time.
        KeyActivity* oldest = oldest_of(set);
        found = begin(oldest, tag) ? oldest : nullptr;
    }
    found->last_use.store(static_cast<uint64_t>(now), std::memory_order_relaxed);
    return found;
}

uint64_t served_until_now(const Zone& zone, uint64_t tag) {
    const KeyActivity* activity = find_activity(zone, tag);
    return activity != nullptr ? activity->served.load(std::memory_order_relaxed) : 0;
}

OtherSharers others_of(const KeyActivity& activity, const Activity& one, const Slices& slices) {
    uint64_t weights = 0;
    Amount needs = 0;
    Amount used = 0;
    for (const SliceOfActivity& slice : activity.slices) {
        weights += sum_in(slice.weights, slices.present);
        needs += sum_in(slice.needs, slices.present);
        if (is_within(slice.used, slices.present, slices.of_window)) {
            used += sum_in(slice.used, slices.present);
        }
    }
    if (one.weight != 0 && is_recent_slice(one.slice, slices.present)) {
        const bool in_window = ((slices.present - one.slice) & kSliceMask) < slices.of_window;
        weights -= std::min(weights, one.weight);
        needs -= std::min(needs, one.need);
        used -= std::min(used, in_window ? one.used : 0);
    }
    return {weights, needs - std::min(needs, used)};
}

void count_activity(KeyActivity* activity, const Activity& before, const Activity& after) {
    const bool same = before.slice == after.slice && before.weight == after.weight &&
                      before.need == after.need && before.used == after.used;
    if (same) {
        return;
    }
    const bool stays = before.weight != 0 && before.slice == after.slice;
    const Activity less = stays ? before : Activity{};
    SliceOfActivity* slice = at(activity, after.slice);
    if (stays && is_of_later_slice(slice->weights, after.slice)) {
        return;  // a request has ended whose sharer asked so long ago that it counts no more
    }
    change(&slice->weights, after.slice, less.weight, after.weight);
    change(&slice->needs, after.slice, less.need, after.need);
    change(&slice->used, after.slice, less.used, after.used);
    // At last, so that a kill leaves rather too much than too little.
    if (before.weight != 0 && !stays) {
        slice = at(activity, before.slice);
        take(&slice->weights, before.slice, before.weight);
        take(&slice->needs, before.slice, before.need);
        take(&slice->used, before.slice, before.used);
    }
}

}  // namespace ai_limit
