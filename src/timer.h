#pragma once

// The only type of timer: one of nginx's, and the function and the object that it is for.

#include <functional>

#include "clock.h"
#include "ngx.h"

namespace ai_limit {

/**
 * Calls a function of its owner once, after a time or in another turn of nginx's event loop. It is
 * made in zeroed memory, by init(). The memory must neither move nor be freed before stop(), while
 * it is set or posted.
 *
 * A worker that exits gracefully does not wait for it, unless hold_worker() says so.
 */
class Timer {
public:
    /** Sets what is to be called: `kRun` is a function that takes the owner, or one of its members.
     * The log must outlive the timer. */
    template <auto kRun, typename Owner>
    void init(Owner* owner, ngx_log_t* log) {
        owner_ = owner;
        event_.handler = run<kRun, Owner>;
        event_.data = stand_in();
        event_.log = log;
        event_.cancelable = 1;
    }

    /** Runs after `delay`. A timer that is set already is set anew; nginx leaves it as it is if the
     * difference is less than 300 ms. */
    void start(ngx_msec_t delay) { ngx_add_timer(&event_, delay); }

    /** The same, unless it is set already. */
    void start_if_idle(ngx_msec_t delay) {
        if (!is_set()) {
            start(delay);
        }
    }

    /** Runs after `delay` unless it runs earlier anyway. Returns true if it would have run later,
     * or not at all. */
    bool start_by(ngx_msec_t delay) {
        if (is_set()) {
            if (msec_until(event_.timer.key) <= static_cast<ngx_msec_int_t>(delay)) {
                return false;
            }
            ngx_del_timer(&event_);  // nginx would keep one that is about as late
        }
        start(delay);
        return true;
    }

    /** Runs later in this turn of the event loop, once for any number of calls. */
    void post() { ngx_post_event(&event_, &ngx_posted_events); }

    /** Runs in the next turn of the event loop, which does not wait for anything else. */
    void post_next() { ngx_post_event(&event_, &ngx_posted_next_events); }

    /** Does not run any more; harmless if it would not have. */
    void stop() {
        if (event_.posted) {
            ngx_delete_posted_event(&event_);
        }
        if (event_.timer_set) {
            ngx_del_timer(&event_);
        }
    }

    bool is_posted() const { return event_.posted; }

    bool is_set() const { return event_.timer_set; }

    /** Says whether a worker that exits gracefully waits for this timer. */
    void hold_worker(bool holds) { event_.cancelable = !holds; }

    ngx_log_t* log() const { return event_.log; }

private:
    template <auto kRun, typename Owner>
    static void run(ngx_event_t* event) noexcept {
        std::invoke(kRun, static_cast<Owner*>(reinterpret_cast<Timer*>(event)->owner_));
    }

    /** nginx's debug log prints the file descriptor of an event's connection, so there must be one.
     */
    static ngx_connection_t* stand_in() {
        static ngx_connection_t connection;
        connection.fd = static_cast<ngx_socket_t>(-1);
        return &connection;
    }

    ngx_event_t event_;  // the first member: nginx knows only its address
    void* owner_;
};

}  // namespace ai_limit
