#pragma once

#include "core/zone/journal.h"

namespace ai_limit {

/** Locks that are taken together, in the order of their addresses, over all zones. */
class LockOrder {
public:
    /** Adds one; the same one twice does no harm. At most two for each of kMaxCharges. */
    void want(Journal* journal, Bucket* bucket) {
        size_t i = count_;
        while (i > 0 && wanted_[i - 1].bucket > bucket) {
            --i;
        }
        if (i > 0 && wanted_[i - 1].bucket == bucket) {
            return;
        }
        Wanted displaced = {journal, bucket};
        for (++count_; i < count_; ++i) {
            Wanted next = wanted_[i];
            wanted_[i] = displaced;
            displaced = next;
        }
    }

    /** Waits for all of them; each zone's journal opens its own. */
    void take_all() {
        for (size_t i = 0; i < count_; ++i) {
            wanted_[i].journal->lock(wanted_[i].bucket);
        }
    }

private:
    struct Wanted {
        Journal* journal;
        Bucket* bucket;
    };
    Wanted wanted_[2 * kMaxCharges];
    size_t count_ = 0;
};

}  // namespace ai_limit
