#pragma once

#include "core/observe/snapshot.h"
#include "nginx/conf/config.h"

namespace ai_limit {

/** Adds to the snapshot of a policy for which keys requests wait, and who shares keys with which
 * part. This takes the locks of the sharers' entries, one at a time. False without memory. */
bool add_turns(ngx_http_request_t* r, const PolicyConf& policy, PolicySnapshot* seen);

}  // namespace ai_limit
