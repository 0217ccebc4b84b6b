#include "core/turns/longest_queues.h"

#include <algorithm>

namespace ai_limit {

namespace {

/** False if nobody waits in the queue, or it is another policy's. */
bool read_queue(const KeyQueue& queue, uint32_t policy, Millis now, WaitingKeyView* view) {
    Turn next{};
    if (queue.tag.load(std::memory_order_acquire) == 0 ||
        queue.policy.load(std::memory_order_relaxed) != policy || !find_next(queue, &next)) {
        return false;
    }
    *view = {};
    view->count = waiting_in(queue).count;
    view->waited = std::max(now - came_at(next.arrival), Millis{0});
    if (!read_name(queue, &view->key)) {
        view->key.size = 0;
    }
    return view->count != 0;
}

/** Keeps those with most waiters in order. */
void keep_most(const WaitingKeyView& view, WaitingKeyViews* views) {
    size_t place = views->count;
    while (place > 0 && views->keys[place - 1].count < view.count) {
        --place;
    }
    if (place == kShownWaitingKeys) {
        return;
    }
    views->count = std::min(views->count + 1, kShownWaitingKeys);
    std::move_backward(&views->keys[place], &views->keys[views->count - 1],
                       &views->keys[views->count]);
    views->keys[place] = view;
}

}  // namespace

void read_waiting_keys(const Zone& zone, uint32_t policy, Millis now, WaitingKeyViews* views) {
    views->count = 0;
    for (uint32_t i = 0; i < zone.sizes().queues; ++i) {
        WaitingKeyView view{};
        if (read_queue(*zone.queue(i), policy, now, &view)) {
            keep_most(view, views);
        }
    }
}

}  // namespace ai_limit
