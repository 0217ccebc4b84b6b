#pragma once

// The memory of who shares a key at the moment (sharers/activity.h): sums over its active sharers,
// in sets of a few keys.

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ai_limit {

constexpr uint32_t kActivitySlices = 8;  // for so long a sharer is active

/** Sums over the sharers that asked last in one slice of time. Each word has the slice's number in
 * its upper 24 bits, and is nothing in another slice. */
struct SliceOfActivity {
    std::atomic<uint64_t> weights;
    std::atomic<uint64_t> needs;
    std::atomic<uint64_t> used;  // of these needs, in the present window
};

/** The activity of one key. Slice number n lies in slices[n % 9]. */
struct alignas(64) KeyActivity {
    std::atomic<uint64_t> tag;       // of the key's entry; 0: a free place
    std::atomic<uint64_t> last_use;  // in milliseconds of the monotonic clock
    std::atomic<uint64_t> served;    // the start of the latest service (sharers/service.h)
    SliceOfActivity slices[kActivitySlices + 1];
};

constexpr uint32_t kActivityWays = 4;

struct ActivitySet {
    KeyActivity ways[kActivityWays];
};

/** A 64th of the bytes for entries, but room for 64 keys at least, and for 16,384 at most. */
constexpr uint32_t activity_sets_for(size_t bytes) {
    constexpr size_t kLeast = 16;
    constexpr size_t kMost = 1 << 12;
    const size_t sets = bytes / 64 / sizeof(ActivitySet);
    return static_cast<uint32_t>(sets < kLeast ? kLeast : sets > kMost ? kMost : sets);
}

}  // namespace ai_limit
