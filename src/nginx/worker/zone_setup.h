#pragma once

#include "nginx/conf/config.h"

namespace ai_limit {

/** Asks nginx for the shared memory of all zones; it is there when the workers start. */
ngx_int_t request_zones(ngx_conf_t* cf);

extern "C" {
/** Takes a starting worker's place in the zones, and takes back what dead workers had reserved. */
ngx_int_t ngx_http_ai_limit_init_process(ngx_cycle_t* cycle);

/** Gives back what an ending worker has still reserved. */
void ngx_http_ai_limit_exit_process(ngx_cycle_t* cycle);

/** Saves what is to be kept when the master ends, after its workers. */
void ngx_http_ai_limit_exit_master(ngx_cycle_t* cycle);
}

/** Notes what the zone's policies have counted by now, if that is due (core/observe/history.h). */
void sample_zone(const ZoneConf& zone);

}  // namespace ai_limit
