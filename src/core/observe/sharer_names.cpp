#include "core/observe/sharer_names.h"

#include <algorithm>

namespace ai_limit {

namespace {

constexpr uint64_t kBeingWritten = 1;  // no tag: they are 256 or more
constexpr uint64_t kLongest = 60'000;  // milliseconds without a request, then a place may be taken

/** Takes the place of nobody, or of a sharer that is not active any more. A process that was killed
 * while it wrote a name leaves its place to others after that time as well. */
bool take_place(SharerNames* names, uint32_t place, uint64_t before, Millis now) {
    names->labels[place].asked_at.store(static_cast<uint64_t>(now), std::memory_order_relaxed);
    return names->tags[place].compare_exchange_strong(before, kBeingWritten,
                                                      std::memory_order_acq_rel);
}

void write_label(SharerLabel* label, const AskingSharer& one) {
    label->key_tag.store(one.key_tag, std::memory_order_relaxed);
    write_shown_name(one.sharer, &label->sharer);
    write_shown_name(one.key, &label->key);
}

/** One place, read while others may write it. False if there is nobody. */
bool read_place(const SharerNames& names, uint32_t place, NamedSharer* sharer) {
    const std::atomic<uint64_t>& tag = names.tags[place];
    const SharerLabel& label = names.labels[place];
    sharer->tag = tag.load(std::memory_order_acquire);
    if (sharer->tag <= kBeingWritten) {
        return false;
    }
    sharer->key_tag = label.key_tag.load(std::memory_order_relaxed);
    sharer->sharer = copy_of(label.sharer);
    sharer->key = copy_of(label.key);
    std::atomic_thread_fence(std::memory_order_acquire);
    return tag.load(std::memory_order_relaxed) == sharer->tag;
}

}  // namespace

void note_sharer_elsewhere(SharerNames* names, const AskingSharer& one, Millis now) {
    const uint32_t first = first_place_of_sharer(one.tag);
    const auto at = static_cast<uint64_t>(now);
    uint32_t taken = kNamedSharers;
    uint64_t before = 0;
    for (uint32_t i = 0; i < kNamedSharers; ++i) {
        const uint32_t place = (first + i) % kNamedSharers;
        const uint64_t tag = names->tags[place].load(std::memory_order_relaxed);
        if (tag == one.tag) {
            note_asking(&names->labels[place], now);
            return;
        }
        const uint64_t asked_at = names->labels[place].asked_at.load(std::memory_order_relaxed);
        const bool is_free = tag == 0 || (at > asked_at && at - asked_at > kLongest);
        if (is_free && taken == kNamedSharers) {
            taken = place;
            before = tag;
        }
        if (tag == 0) {
            break;  // nobody lies behind a place that was never taken
        }
    }
    if (taken != kNamedSharers && take_place(names, taken, before, now)) {
        write_label(&names->labels[taken], one);
        names->tags[taken].store(one.tag, std::memory_order_release);
    }
}

size_t read_named_sharers(const SharerNames& names, NamedSharer* sharers) {
    size_t count = 0;
    for (uint32_t place = 0; place < kNamedSharers; ++place) {
        NamedSharer* one = &sharers[count];
        // Two processes may have given a sharer a place each.
        const auto is_same = [one](const NamedSharer& other) { return other.tag == one->tag; };
        if (read_place(names, place, one) && std::none_of(sharers, one, is_same)) {
            ++count;
        }
    }
    return count;
}

void forget_sharers(SharerNames* names) {
    for (std::atomic<uint64_t>& tag : names->tags) {
        tag.store(0, std::memory_order_relaxed);
    }
}

}  // namespace ai_limit
