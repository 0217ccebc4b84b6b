#pragma once

// The keys for which requests wait for their turn, for operators.

#include "core/turns/queue.h"

namespace ai_limit {

constexpr size_t kShownWaitingKeys = 20;  // of each policy

struct WaitingKeyView {
    ShownName key;  // empty if it is being written
    uint32_t count;
    Millis waited;  // until now, by the request whose turn is next
};

/** Those for which most requests wait, the first one most. */
struct WaitingKeyViews {
    WaitingKeyView keys[kShownWaitingKeys];
    size_t count;
};

/** Reads the keys of a policy for which requests wait. `now`: monotonic. */
void read_waiting_keys(const Zone& zone, uint32_t policy, Millis now, WaitingKeyViews* views);

}  // namespace ai_limit
