#pragma once

// The state file of a zone: read when nginx starts, written every few seconds by one of the
// workers, in a thread of its own, and at nginx's end.

#include "nginx/conf/config.h"

namespace ai_limit {

/**
 * Makes the zone in its memory, from the state file if it has one that can be read. One that
 * cannot is set aside. `secret` is for a zone that begins anew. nginx -t reads nothing.
 */
void create_from_state_file(const ZoneConf* zone, const Host* host, const uint8_t* secret,
                            ngx_log_t* log);

/** A worker takes its part in saving. */
ngx_int_t start_saving(const ZoneConf* zone, ngx_cycle_t* cycle);

/** A worker ends: what it has not written to its end is left to others. */
void stop_saving(const ZoneConf* zone);

/** Saves at once, for the last process of an nginx. */
void save_at_end(const ZoneConf* zone, ngx_log_t* log);

}  // namespace ai_limit
