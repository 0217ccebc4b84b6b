#pragma once

// The entries of one key for limits of several periods.
//
// A limit by windows counts in windows of its period. When a key's limit changes to another period
// (an override, a plan from a variable, a new configuration), one count cannot serve both: a day
// cannot be counted in a minute's window. The key therefore has an entry for each period, up to
// kMaxVariants of them, which two bits of the tag tell apart. They lie in the same two buckets.
//
// A request counts in all of them that exist, whatever limit it is decided by. Each is therefore
// the exact count of its window. A first entry for a period begins with the count that the others
// may have in its window: used quota stays used. An entry whose window is over is removed, unless
// its window is shorter than that of the limit in force: then it would soon be missed.
//
// A token bucket has no window and only one entry. Policies that nodes share have only one entry as
// well.

#include "core/limits/algorithm.h"
#include "core/zone/bucket_pair.h"

namespace ai_limit {

/** The most entries that are there beside the one of the limit itself. */
constexpr uint32_t kMaxOthers = kMaxVariants - 1;

/** True if limits of the policy with this number have had several periods. */
inline bool has_several_periods(const Zone& zone, uint32_t policy) {
    return zone.policy(policy)->periods[1].load(std::memory_order_relaxed) != 0;
}

/** Cells of entries for other periods. */
struct OtherPeriods {
    uint32_t count;
    Cell cells[kMaxOthers];

    bool has(Cell cell) const {
        for (uint32_t i = 0; i < count; ++i) {
            if (cells[i].bucket == cell.bucket && cells[i].index == cell.index) {
                return true;
            }
        }
        return false;
    }
};

/** Finds the entries beside that of `pair`, whose limit has this variant. Both buckets of the pair
 * must be locked; the second need not be if the first has not overflowed. */
OtherPeriods find_other_periods(const BucketPair& pair, uint32_t variant);

/** The most that one of them may have counted in the limit's present window. */
Amount most_used(const OtherPeriods& others, const Limit& limit, Now now);

/** Counts `amount`, for a request by this limit, in all of them, whether it fits or not. */
void count_in(const OtherPeriods& others, Journal* journal, const Limit& limit, Amount amount,
              Now now);

}  // namespace ai_limit
