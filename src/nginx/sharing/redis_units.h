#pragma once

// Notices that a policy of one name counts something else on another nginx that shares the Redis,
// which keeps the two from limiting together: one line in the log when it begins, one when it is
// over. Nothing of this is done for a request.

#include "nginx/conf/config.h"

namespace ai_limit {

/** Start and stop this in a worker that starts or ends. */
void start_announcing(LiveRedis* redis);
void stop_announcing(LiveRedis* redis);

}  // namespace ai_limit
