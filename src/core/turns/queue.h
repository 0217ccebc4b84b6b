#pragma once

// Who waits for a turn on a key, over all processes of a zone. A request that finds no room joins
// the queue of its key, and is tried again when it is its turn: when no request of any process goes
// before it. So nobody overtakes who waits, and nobody has to be woken from another process.
//
// There is no lock. Each process writes its own place in a queue, before it tries the request that
// is next there, and reads the others'. Two processes that do so in the same moment may both try
// theirs: then the decision says who passes, which is exact.

#include "core/zone/journal.h"

namespace ai_limit {

/** The turn of a request. */
struct Turn {
    uint64_t order;    // of its sharer (48 bits, modular); 0 where keys have no sharers
    uint64_t arrival;  // no two requests have the same
};

/** True if `one` goes before `other`. */
bool goes_before(const Turn& one, const Turn& other);

/** Returns the arrival of a request, after all earlier ones. `now`: monotonic. */
uint64_t arrival_at(Millis now, uint32_t process);

/** Returns when the request with this arrival came, by the monotonic clock. */
Millis came_at(uint64_t arrival);

/** Returns the queue of a key in a zone, by the tag of its entry; nullptr if there is none. */
KeyQueue* find_queue(const Zone& zone, uint64_t tag);

/** A key to wait for, by the tag of its entry and the policy's number. */
struct QueuedKey {
    uint64_t tag;
    uint32_t policy;
    std::string_view text;
};

/** Returns a process's place in a key's queue, and makes both if there are none. nullptr without
 * room for them, in a zone that has as many queues as it may, or in a queue of many processes. */
QueueOfWorker* join_queue(const Journal& journal, const QueuedKey& key, KeyQueue** queue);

/** True if a process still has this place in the queue of the key. It may have joined while another
 * process gave the queue up, or begun one that is found no more. */
bool is_in_queue(const Journal& journal, uint64_t tag, const KeyQueue* queue,
                 const QueueOfWorker* place);

/** Gives a place back that is_in_queue() denies, unless it is another process's now. */
void give_place_back(QueueOfWorker* place, uint32_t process);

/** Gives up an empty place of a queue in the zone, and the queue if nobody waits in it. */
void leave_queue(const Zone& zone, KeyQueue* queue, QueueOfWorker* place);

/** Tells the others who is next in this place. Returns how often that raised KeyQueue::changes. */
uint32_t tell(const Zone& zone, KeyQueue* queue, QueueOfWorker* place, uint32_t count, Amount cost,
              const Turn& next);

/** What waits in a queue. */
struct Waiting {
    uint32_t count;
    Amount cost;
    uint32_t processes;
};
Waiting waiting_in(const KeyQueue& queue);

/** Finds the turn that is next in a queue; false if nobody waits. */
bool find_next(const KeyQueue& queue, Turn* next);

/** Reads the name of the queue's key; false if nobody has written it yet. */
bool read_name(const KeyQueue& queue, ShownName* name);

/** What waits for the key on other nodes, as Redis said last. */
struct WaitingElsewhere {
    uint32_t count;
    Amount cost;
};
WaitingElsewhere waiting_elsewhere(const KeyQueue& queue);
void note_elsewhere(KeyQueue* queue, const WaitingElsewhere& waiting);

/** True if some request that waits goes before this one. `own`: a place that is not looked at. */
bool waits_before(const KeyQueue& queue, const Turn& turn, const QueueOfWorker* own);

/** Notes that a turn may have come for somebody who waits for the key: something has come back. */
void note_room(const Zone& zone, uint64_t tag);

/** The same for all keys, of which some have another limit now. */
void note_room_everywhere(const Zone& zone);

/** Frees the places of a process that is gone. */
void free_places(const Zone& zone, uint32_t process);

}  // namespace ai_limit
