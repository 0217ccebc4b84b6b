#pragma once

#include "nginx/config.h"

namespace ai_limit {

/** Asks nginx for the zone's shared memory; it is there when the workers start. */
ngx_int_t request_zone(ngx_conf_t* cf, ZoneConf* zone);

extern "C" {
/** A worker starts: takes its place in the zones, and takes back what dead workers held. */
ngx_int_t ngx_http_ai_limit_init_process(ngx_cycle_t* cycle);

/** A worker ends: gives back what it still holds. */
void ngx_http_ai_limit_exit_process(ngx_cycle_t* cycle);
}

/** Both clocks, as nginx caches them. */
Now now_by_nginx();

}  // namespace ai_limit
