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

/** The master ends, when its workers have: saves what is to be kept. */
void ngx_http_ai_limit_exit_master(ngx_cycle_t* cycle);
}

/** Notes what the zone's policies have counted by now, where that is due (core/history.h). */
void sample_zone(ZoneConf* zone);

/** Both clocks, as nginx caches them. */
inline Now now_by_nginx() {
    ngx_time_t* wall = ngx_timeofday();
    return {static_cast<Millis>(ngx_current_msec),
            static_cast<Millis>(wall->sec) * 1000 + static_cast<Millis>(wall->msec)};
}

}  // namespace ai_limit
