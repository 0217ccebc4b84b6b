#pragma once

#include "nginx/conf/upstream_conf.h"

namespace ai_limit {

/** Adds a policy with rate=upstream to the configuration: itself for the requests, and one for each
 * other kind of quota and for cooldowns, named after it. Returns what the directive has to return.
 */
char* add_upstream_parts(ngx_conf_t* cf, MainConf* main, PolicyConf* policy);

}  // namespace ai_limit
