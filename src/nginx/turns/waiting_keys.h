#pragma once

// The keys for which requests wait in this worker, with these requests in the order of their turns.
// Workers tell each other only who is next in each (core/turns/queue.h). A worker with waiters
// looks every few milliseconds whether something has changed for one of its keys, or is due.

#include "core/turns/queue.h"
#include "nginx/decision/decision.h"
#include "nginx/waiting/waiting.h"

namespace ai_limit {

struct WaitingKey;
struct SharerLine;

/** A request that waits for its turn, in the request's memory. */
struct Waiter {
    // kAsked: its turn has come here, and Redis decides.
    enum Stage : uint8_t { kWaiting, kAsked, kPassed, kRefused, kOver };

    Wait wait;
    ngx_http_request_t* r;
    Decision* one;
    const PolicySet* set;
    ngx_uint_t charge;  // the policy whose queue it is in
    uint64_t arrival;
    Amount cost;  // as its queue counts it
    Millis began, until;
    Millis waited;  // in all, with earlier waits of the request
    Stage stage;

    SharerLine* line;  // nullptr: in no queue
    ngx_queue_t link;  // there

    PolicyCharge* policy() const { return &one->charges[charge]; }
};

/** True if a request that waits goes before this one: one that comes now, if `arrival` is 0. */
bool must_queue(const PolicyCharge& charge, Now now, uint64_t arrival = 0);

/** The requests that wait in this worker for a charge's key, of the charge's sharer if keys have
 * sharers. */
struct WaitingHere {
    uint32_t count;
    Amount cost;
};
WaitingHere waiting_here(const PolicyCharge& charge);

/** Puts a waiter into the queue of its policy's key. NGX_DECLINED if there is no room for that. */
ngx_int_t join(Waiter* waiter);

/** True if the other policies of a waiting request let others go first. They are marked as refusing
 * then (turns.cpp). */
bool is_turn_of_others(Waiter* waiter);

/** Has a request wait whose policy would let it pass, but another one would not: in the queue of
 * that. False if it must be refused now (turns.cpp). */
bool move_on(Waiter* waiter);

/** Serves those who wait for the waiter's key and whose turn it is, which may be this one. */
void serve(Waiter* waiter);

/** Takes a waiter out of its queue, if it is in one. */
void leave(Waiter* waiter);

/** Takes a waiter out that Redis has let pass. Then others may have their turn. */
void leave_served(Waiter* waiter);

/** Has a waiter wait on that Redis has refused by its own policy. */
void stay(Waiter* waiter);

}  // namespace ai_limit
