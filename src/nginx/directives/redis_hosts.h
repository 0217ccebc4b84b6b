#pragma once

#include "nginx/conf/config.h"

namespace ai_limit {

/**
 * Finds the resolver of the http block, which workers are to ask for the names in ai_limit_redis,
 * and what is known of the names now. Call it when all is read. Without a resolver, a name that is
 * not known is a mistake.
 */
ngx_int_t resolve_redis_hosts(ngx_conf_t* cf, MainConf* main);

}  // namespace ai_limit
