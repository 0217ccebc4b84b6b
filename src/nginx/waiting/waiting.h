#pragma once

// Suspends a request until something has happened elsewhere, and resumes it.
//
// A phase's handler that cannot go on calls suspend() and returns what that returns. The request
// then does nothing but look whether its client is still there. A wait ends in one of these ways:
//
// - Its user calls resume(): the phases run again, from the same handler on.
// - Its user asks to be woken, at once or at a deadline. WaitReason::woken then decides whether
//   to resume the request, to refuse it in its phase, or to wait on.
// - The request ends, mostly since its client has gone away: nginx notices that by
//   ngx_http_test_reading under HTTP/1, and by the end of the stream under HTTP/2 and HTTP/3.
//   WaitReason::ended is called once, and the request must not be touched any more.
//
// A worker that quits waits for timers and not for posted events. A wait therefore needs a
// deadline, unless there is another timer that ends it (as of a command to Redis). A worker that is
// terminated calls nobody: its requests end with it.

#include "ngx.h"
#include "timer.h"

namespace ai_limit {

struct Wait;

/** The reason why requests wait; one constant for all that wait for the same. */
struct WaitReason {
    const char* name;  // in nginx's debug log, behind "waits for"

    /** Called when wake() or the like asked for it, and when the deadline has passed. The request
     * goes on waiting unless this resumes it. nullptr if nobody is ever woken. */
    void (*woken)(Wait* wait, bool at_deadline);

    /** Called if the request ends while it waits; its pool is still there. nullptr if nothing has
     * to be done. */
    void (*ended)(Wait* wait);
};

/**
 * The wait of one request. Its user owns the memory, which is zero before the first suspend() and
 * stays until resume(), finish() or `ended` is called. It may be used again then.
 */
struct Wait {
    ngx_http_request_t* r;  // nullptr while no request waits
    const WaitReason* reason;
    ngx_http_cleanup_t* cleanup;  // by which the request's end is noticed
    ngx_http_request_t* last;     // whose that is; nullptr before the first suspend()
    Timer timer;                  // wakes it
    bool has_deadline;
    ngx_queue_t link;  // in a WaitQueue
};

/** True if a request waits. */
inline bool is_waiting(const Wait& wait) {
    return wait.r != nullptr;
}

/**
 * Suspends a client's own request in a phase. Returns what the phase's handler has to return:
 * NGX_AGAIN, or NGX_HTTP_INTERNAL_SERVER_ERROR if the request cannot wait.
 */
ngx_int_t suspend(ngx_http_request_t* r, Wait* wait, const WaitReason& reason);

/** Has the phases go on, from the handler that suspended the request. Does nothing if the request
 * has ended, and only ends the wait if its client has gone and a post_action runs. Neither the wait
 * nor the request may be used behind it. */
void resume(Wait* wait);

/** Suspends a request in its content handler; finish() ends that. Returns NGX_DONE, or
 * NGX_HTTP_INTERNAL_SERVER_ERROR. */
ngx_int_t suspend_content(ngx_http_request_t* r, Wait* wait, const WaitReason& reason);

/** Ends the wait of a content handler before its answer is made; continue with
 * finish_content(). nullptr if the request has ended. */
ngx_http_request_t* take_content(Wait* wait);

/** Ends a content handler that was suspended with what it would have returned. */
void finish_content(ngx_http_request_t* r, ngx_int_t rc);

/**
 * Has nginx read the request's body, into memory or a temporary file. The phases then go on, from
 * the handler that called this. Returns what that handler has to return. nginx itself ends the
 * request if its client goes away or is too slow.
 */
ngx_int_t wait_for_body(ngx_http_request_t* r);

/** Wakes the user in `delay` milliseconds at the latest; a worker that quits waits for that. */
void set_deadline(Wait* wait, ngx_msec_t delay);

/** Wakes the user in this turn of the event loop, or in the next one, behind all other events. */
void wake(Wait* wait);
void wake_in_next_turn(Wait* wait);

/** Waits in the order in which they came. Zero when it begins. */
struct WaitQueue {
    ngx_queue_t links;
};

/** True if the request is in a queue. */
inline bool is_queued(const Wait& wait) {
    return wait.link.next != nullptr;
}

/** Puts a request that waits at the end of a queue; it leaves it when it is resumed or ends. */
void put_last(WaitQueue* queue, Wait* wait);

/** Takes the first one out, which then still waits. nullptr if the queue is empty. */
Wait* take_first(WaitQueue* queue);

}  // namespace ai_limit
