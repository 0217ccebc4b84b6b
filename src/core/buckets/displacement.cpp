#include "core/buckets/displacement.h"

namespace ai_limit {

bool move_away(Journal* journal, const Geometry& geometry, Cell cell) {
    State state{};
    load_state(cell, geometry, &state);
    uint64_t tag = cell.bucket->tags[cell.index];
    Bucket* first = first_bucket(journal->zone(), geometry, tag, state.head.policy);
    Bucket* second = second_bucket(journal->zone(), geometry, tag);
    Bucket* other = cell.bucket == first ? second : first;
    if (other == cell.bucket || journal->holds(other) || !journal->try_lock(other)) {
        return false;
    }
    Cell target = {other, find_tag(other, geometry, 0)};
    if (target.index == kNoCell) {
        journal->release_last();
        return false;
    }
    if (other == second) {
        first->overflowed = 1;
    }
    store_tag(journal, target, tag);
    set_mark(target, has_mark(cell));
    store_state(journal, target, geometry, state);
    store_tag(journal, cell, 0);
    return true;
}

}  // namespace ai_limit
