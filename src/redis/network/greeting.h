#pragma once

#include "redis/network/access.h"
#include "redis/network/redis_command.h"

namespace ai_limit {

/**
 * Makes the first commands of a connection, which log in, choose the database and load the script.
 * They free themselves when they are done. `queue` gets them behind what it has. Returns false
 * without memory; those that were made are in the queue.
 */
bool make_greeting(const RedisAccess& access, ngx_queue_t* queue);

}  // namespace ai_limit
