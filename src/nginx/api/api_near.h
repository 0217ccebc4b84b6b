#pragma once

#include "core/observe/snapshot.h"
#include "nginx/conf/config.h"

namespace ai_limit {

/** Adds to the snapshot of a policy which of its top keys are nearest to their limits, as far as
 * this node knows. This takes the locks of these keys' entries, one at a time. False without
 * memory. */
bool add_near_keys(ngx_http_request_t* r, const PolicyConf& policy, PolicySnapshot* seen);

}  // namespace ai_limit
