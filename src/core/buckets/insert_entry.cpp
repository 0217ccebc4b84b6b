#include "core/buckets/insert_entry.h"

#include <cstring>

namespace ai_limit {

namespace {

/** True if `a` is worth less than `b`. */
bool is_less(Appraisal a, Appraisal b) {
    return a.worth < b.worth || (a.worth == b.worth && a.order < b.order);
}

}  // namespace

bool insert_entry(const Zone& to, const Geometry& geometry, uint64_t tag, const State& state,
                  Appraisal worth, Now now) {
    Bucket* first = first_bucket(to, geometry, tag, state.head.policy);
    Cell cell = {first, find_tag(first, geometry, 0)};
    if (cell.index == kNoCell) {
        Bucket* second = second_bucket(to, geometry, tag);
        cell = choose_victim(to, geometry, first, second, now, [](Cell) { return false; }).cell;
        if (cell.index == kNoCell || is_less(worth, appraise(to, geometry, cell, now))) {
            return false;
        }
        first->overflowed |= cell.bucket != first ? 1 : 0;
    }
    *to.tally(1) += cell.bucket->tags[cell.index] == 0 ? 1 : 0;
    cell.bucket->tags[cell.index] = tag;
    std::memcpy(state_words(cell.bucket, geometry, cell.index), state.words,
                geometry.state_words * sizeof(uint64_t));
    return true;
}

}  // namespace ai_limit
