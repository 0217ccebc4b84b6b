#include "core/keys/warning.h"

#include "core/zone/bucket_pair.h"

namespace ai_limit {

namespace {

/** Changes the mark of an entry. False if it was so before, or the entry has gone. */
bool change_mark(Journal* journal, const BucketPair& pair, bool is_marked) {
    LockOrder locks;
    pair.want(&locks, journal);
    locks.take_all();
    const Cell cell = pair.find();
    const bool changes = cell.index != kNoCell && has_mark(cell) != is_marked;
    if (changes) {
        set_mark(cell, is_marked);
    }
    journal->finish();
    return changes;
}

}  // namespace

bool passes_warning(const Charge& charge, uint32_t percent, Amount taken, const State& after) {
    const Limit& limit = *charge.limit;
    Journal* journal = &charge.access->journal;
    if (limit.capacity == 0 || taken == 0) {
        return false;
    }
    const WarningLevels levels = warning_levels(limit.capacity, percent);
    const Amount use = used(limit, after);
    const bool was_below = use < taken + levels.below;
    const BucketPair pair =
        bucket_pair_of(journal->zone(), limit.algorithm, charge.tag, charge.policy);
    // Read without a lock: another process may change the mark, and then has told what there is.
    const Cell cell = pair.find();
    const bool is_marked = cell.index != kNoCell && has_mark(cell);
    if (use < levels.passed) {
        if (is_marked && was_below) {
            change_mark(journal, pair, false);
        }
        return false;
    }
    if (is_marked) {
        return was_below;  // it fell while nobody looked
    }
    return change_mark(journal, pair, true);
}

}  // namespace ai_limit
