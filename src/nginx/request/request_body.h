#pragma once

// Finds out what a request asks for, from its path and its body.

#include "nginx/request/token_context.h"

namespace ai_limit {

/** True if there is a body that nginx has not read yet. If not, read_request_info() knows
 * everything. */
bool awaits_body(ngx_http_request_t* r);

/** True if the request has a body, read or not. */
inline bool has_request_body(ngx_http_request_t* r) {
    return r->headers_in.content_length_n > 0 || r->headers_in.chunked;
}

/**
 * Reads what the request's body asks for, when it is there, so that read_request_info() knows
 * everything. A large one is read in several turns of the event loop, so that other requests are
 * served meanwhile: then it suspends the request and returns NGX_AGAIN, as the phase's handler has
 * to; that is called once more when all has been read. For the client's own request only. Any other
 * value than NGX_OK is an error.
 */
ngx_int_t read_request_info_in_turns(ngx_http_request_t* r);

/**
 * Returns what the request asks for, as far as it is known. While nginx has not read the body, that
 * is what the path says. A body in which nobody has looked yet is read in one go, at most about 1
 * MB of it; a larger one is unreadable. nullptr without memory.
 */
const RequestInfo* read_request_info(ngx_http_request_t* r);

/** Returns the estimated tokens of the request's prompt; 0 without memory. */
Amount estimated_prompt(ngx_http_request_t* r);

}  // namespace ai_limit
