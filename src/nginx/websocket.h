#pragma once

// Requests that ask for another protocol. What passes in a WebSocket is not counted, so where
// tokens are limited nobody gets one.

#include "nginx/config.h"

namespace ai_limit {

/** True if nobody may change the protocol here, whatever the policies count. */
inline bool refuses_every_upgrade(const ngx_http_request_t* r, const LocConf& conf) {
    return r->headers_in.upgrade != nullptr &&
           conf.websocket == static_cast<ngx_uint_t>(WebSocket::kRefuse);
}

/** The same where a policy in tokens is about to decide. */
inline bool refuses_uncounted_upgrade(const ngx_http_request_t* r, const LocConf& conf) {
    return r->headers_in.upgrade != nullptr &&
           conf.websocket != static_cast<ngx_uint_t>(WebSocket::kPass);
}

/**
 * For a request with an Upgrade header: answers 426 if it asks for WebSocket, and returns what the
 * phase handler is to return. Any other protocol is only an offer, such as h2c, which HTTP/1.1
 * clients make without need: then it returns NGX_DECLINED. Either way it takes the header out of
 * the request: no upstream accepts it, and a page of the refusal (error_page) is not refused again.
 */
ngx_int_t refuse_upgrade(ngx_http_request_t* r);

}  // namespace ai_limit
