#pragma once

#include "core/zone/remote_traffic.h"
#include "ngx.h"

namespace ai_limit {

/** How to reach Redis and who to be there; the configuration's. */
struct RedisAccess {
    ngx_msec_t connect_timeout;  // the name's resolving and TLS included
    ngx_msec_t timeout;          // of each command
    ngx_str_t user;              // empty: the default one
    ngx_str_t password;          // empty: none
    ngx_int_t database;
    ngx_ssl_t* ssl;  // nullptr: without TLS
    bool ssl_verify;
    RemoteTraffic* traffic;  // a worker's own: where all workers count what they send
};

/**
 * Returns how many milliseconds a command may wait for its answer. It may be sent twice: Redis may
 * need the script with it, and in a cluster another server may have to answer.
 */
inline ngx_msec_t longest_wait(const RedisAccess& access) {
    return 2 * (access.connect_timeout + access.timeout);
}

}  // namespace ai_limit
