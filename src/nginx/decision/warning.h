#pragma once

// Tells operators of keys that pass the part of their limit that `warn=` names.

#include "nginx/decision/decision.h"

namespace ai_limit {

/** Logs and counts the keys of a request that passed. Keys whose use is known only when the answer
 * has ended are left to warn_of_settled(). */
void warn_of_passed(ngx_http_request_t* r, const Decision& one);

/** The same for one policy in tokens or money: `charged` is what it has charged for the answer, and
 * `after` the key's state. */
void warn_of_settled(ngx_http_request_t* r, const Charge& charge, const Part& part, Amount charged,
                     const State& after);

}  // namespace ai_limit
