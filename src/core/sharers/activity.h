#pragma once

// Who shares a key at the moment. A sharer is active from its last request on for the limit's
// period, or for a minute if that is shorter. Its weight, and what it needs of the limit, are in
// the key's sums until then, without anybody having to take them out: the sums are kept for slices
// of time, each an eighth of that time, and a sharer counts in the slice in which it asked last.
//
// There is no lock on the sums. A process changes what a sharer has in them under the lock of the
// sharer's entry. If it is killed between both, a weight is too much, or a need wrong, for that
// time at most.

#include "core/limits/limit.h"
#include "core/zone/zone.h"

namespace ai_limit {

/** How one sharer counts in the sums of its key. */
struct Activity {
    uint32_t slice;
    uint64_t weight;  // 0: not at all
    Amount need;
    Amount used;  // of the need, in the window that the slice belongs to
};

/** Sums over the active sharers of a key but one. */
struct OtherSharers {
    uint64_t weights;
    Amount claims;  // what they need and have not used yet
};

constexpr uint32_t kSliceMask = (1 << 24) - 1;

/** Returns how long a slice is. */
Millis slice_length(const Limit& limit);

/** The slice of a moment of the monotonic clock, 24 bits. */
uint32_t slice_of(const Limit& limit, Millis now);

/** True if a sharer that asked last in this slice is still active. */
bool is_recent_slice(uint32_t slice, uint32_t present);

/** The slices at a moment: the present one, and how many of the latest, with this one, began in the
 * present window of a limit that has windows by the calendar; else all. */
struct Slices {
    uint32_t present;
    uint32_t of_window;
};

/** Finds the activity of a key, by the tag of its entry; nullptr if there is none. */
KeyActivity* find_activity(const Zone& zone, uint64_t tag);

/** The same, but begins it if there is none, in place of that which was unused for the longest
 * time. The key's bucket is locked. nullptr in a zone without room for any. `now`: monotonic. */
KeyActivity* use_activity(const Zone& zone, uint64_t tag, Millis now);

/** Returns the virtual time of a key (service.h); 0 before anybody was served. */
uint64_t served_until_now(const Zone& zone, uint64_t tag);

/** Sums over all active sharers but one. */
OtherSharers others_of(const KeyActivity& activity, const Activity& one, const Slices& slices);

/** Counts a sharer as `after` says in place of `before`. */
void count_activity(KeyActivity* activity, const Activity& before, const Activity& after);

}  // namespace ai_limit
