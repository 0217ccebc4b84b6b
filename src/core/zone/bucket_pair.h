#pragma once

#include "core/zone/lock_order.h"
#include "core/zone/table.h"

namespace ai_limit {

/** The two buckets in which an entry may be; which of them it is in may change at any time. */
struct BucketPair {
    const Geometry* geometry;
    uint64_t tag;
    Bucket* first;
    Bucket* second;

    void want(LockOrder* locks, Journal* journal) const {
        locks->want(journal, first);
        locks->want(journal, second);
    }

    /** The entry's cell, both buckets being locked. */
    Cell find() const {
        Cell cell = {first, find_tag(first, *geometry, tag)};
        return cell.index != kNoCell ? cell : Cell{second, find_tag(second, *geometry, tag)};
    }
};

inline BucketPair bucket_pair_of(const Zone& zone, Algorithm algorithm, uint64_t tag,
                                 uint32_t policy) {
    const Geometry& geometry = geometry_of(algorithm);
    return {&geometry, tag, first_bucket(zone, geometry, tag, policy),
            second_bucket(zone, geometry, tag)};
}

}  // namespace ai_limit
