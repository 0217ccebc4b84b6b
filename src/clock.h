#pragma once

// The only place that reads a clock. Everything else is given the time, or asks here for it.

#include <ctime>

#include "core/words/types.h"
#include "ngx.h"

namespace ai_limit {

/** Returns both clocks as nginx read them at the beginning of this turn of its event loop. */
inline Now now_by_nginx() {
    ngx_time_t* wall = ngx_timeofday();
    return {static_cast<Millis>(ngx_current_msec),
            static_cast<Millis>(wall->sec) * 1000 + static_cast<Millis>(wall->msec)};
}

/** Returns the monotonic clock in the type that nginx's timers have. It wraps around where that has
 * 32 bits, so compare points in time with msec_until(). */
inline ngx_msec_t msec_now() {
    return ngx_current_msec;
}

/** Returns the milliseconds until that point in time; 0 or less if it has passed. */
inline ngx_msec_int_t msec_until(ngx_msec_t at) {
    return static_cast<ngx_msec_int_t>(at - ngx_current_msec);
}

/** Lets nginx read the clocks anew, where there is no event loop that does so. */
inline void update_clocks() {
    ngx_time_update();
}

/** Returns the monotonic clock in microseconds, read from the system: for durations that are short
 * against a turn of nginx's event loop. */
inline uint64_t micros_now() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000 +
           static_cast<uint64_t>(now.tv_nsec) / 1000;
}

}  // namespace ai_limit
