#pragma once

// The lines of sharers in which requests wait for a key in this worker. A key without sharers has
// one line.

#include "nginx/turns/queue_in_redis.h"
#include "nginx/turns/waiting_keys.h"
#include "nginx/turns/watch.h"

namespace ai_limit {

/** The requests of one sharer that wait for a key in this worker, or of all where keys have no
 * sharers, in the order of their arrival. */
struct SharerLine {
    WaitingKey* key;
    uint64_t sharer;  // the tag of its entry, 0 where keys have no sharers
    ngx_queue_t link;
    ngx_queue_t waiters;
    uint32_t count;
    Amount cost;
    uint64_t floor;  // the virtual time when one left last: the next service starts there at least
    bool held;       // its part does not let the first one pass
    uint64_t start;  // of the first one's service, when this was looked at last

    Waiter* first() const { return ngx_queue_data(ngx_queue_head(&waiters), Waiter, link); }
    Turn turn() const { return {start, first()->arrival}; }
};

/** A key for which requests wait in this worker. */
struct WaitingKey {
    Watch watch;         // the first member: its functions know only its address
    ngx_queue_t beside;  // among those with a similar tag
    ngx_queue_t lines;
    ZoneAccess* access;
    uint64_t tag;
    KeyQueue* queue;
    QueueOfWorker* place;
    uint32_t count;
    Amount cost;
    uint32_t seen_changes;
    bool is_looked_at;
    Millis next_look;  // in how many milliseconds from the last one
    Waiter* asked;     // about whom Redis is asked; nullptr: nobody
    KeyInRedis* in_redis;
};

/** The tag of the entry of the charge's sharer, 0 where keys have no sharers. */
uint64_t sharer_of(const PolicyCharge& charge);

/** Returns the line of a sharer, or nullptr. */
SharerLine* find_line(WaitingKey* key, uint64_t sharer);

/** Begins the line of the charge's sharer; nullptr without memory. */
SharerLine* make_line(WaitingKey* key, const PolicyCharge& charge);

/** Returns the virtual time of the charge's key; 0 where keys have no sharers. */
uint64_t served_until_now(const PolicyCharge& charge);

/** True if only Redis knows in which order the sharers of a charge's key are served. */
inline bool has_order_of_redis(const PolicyCharge& charge) {
    return charge.sharer != nullptr && charge.sharer->over_nodes;
}

/** Finds where the service of the line's first request starts, which others may have delayed. */
void update_start(SharerLine* line, Now now);

/** The line whose turn is next in this worker, among those that are not held; nullptr: none. */
SharerLine* next_line(const WaitingKey& key);

/** Some request that waits for the key. */
const Waiter* any_waiter(const WaitingKey& key);

/** The arrival of the request that came first of all that wait for the key. */
uint64_t earliest_arrival(const WaitingKey& key);

/** Puts a waiter behind all of its line that came earlier; one that moves here keeps its place. */
void insert(SharerLine* line, Waiter* waiter);

}  // namespace ai_limit
