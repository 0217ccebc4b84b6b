#pragma once

// Predicts how long a request would wait for its turn, so that one which cannot be served in time
// is refused at once, with that wait as its Retry-After.

#include "nginx/decision/decision.h"

namespace ai_limit {

/** The wait of a request that would join a queue. */
struct Outlook {
    Millis wait;    // until its turn, as far as anybody can tell
    bool has_room;  // the queue takes it
};

/** `arrival`: of a request that has waited already, and goes before those that came later; 0: none.
 */
Outlook look_ahead(const Decision& one, ngx_uint_t charge, Now now, uint64_t arrival = 0);

}  // namespace ai_limit
