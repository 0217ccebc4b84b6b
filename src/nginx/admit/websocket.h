#pragma once

// Requests that ask for another protocol. What passes in a WebSocket is not counted, so where
// tokens are limited nobody gets one.

#include "nginx/conf/config.h"

namespace ai_limit {

/** True if nobody may change the protocol here, whatever the policies count. */
inline bool refuses_every_upgrade(const ngx_http_request_t* r, const LocConf& conf) {
    return r->headers_in.upgrade != nullptr &&
           conf.websocket == static_cast<ngx_uint_t>(WebSocket::kRefuse);
}

/** The same if a policy in tokens is about to decide. */
inline bool refuses_uncounted_upgrade(const ngx_http_request_t* r, const LocConf& conf) {
    return r->headers_in.upgrade != nullptr &&
           conf.websocket != static_cast<ngx_uint_t>(WebSocket::kPass);
}

/**
 * True if a request with an Upgrade header asks for WebSocket. Any other protocol is only
 * an offer, such as h2c, which HTTP/1.1 clients make without need. Either way it takes the header
 * out of the request: no upstream accepts it, and a page of the refusal (error_page) is not refused
 * again.
 */
bool takes_out_websocket(ngx_http_request_t* r);

/** Answers such a request with 426, and returns what the phase handler is to return. */
ngx_int_t refuse_websocket(ngx_http_request_t* r);

/** Refuses a WebSocket whatever the policies count. All of them count it, but are not asked. */
ngx_int_t refuse_any_websocket(ngx_http_request_t* r, const LocConf& conf);

constexpr ngx_uint_t kUpgradeRequired = 426;

}  // namespace ai_limit
