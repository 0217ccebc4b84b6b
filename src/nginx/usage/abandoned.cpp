#include "nginx/usage/abandoned.h"

#include "clock.h"
#include "core/counts/reservation.h"
#include "nginx/request/request_body.h"

namespace ai_limit {

namespace {

/** nginx has given up waiting for an answer. An error_page may show another status. */
bool has_timed_out(ngx_http_request_t* r) {
    ngx_array_t* states = r->upstream_states;
    if (states == nullptr || states->nelts == 0) {
        return false;
    }
    ngx_http_upstream_state_t* last =
        static_cast<ngx_http_upstream_state_t*>(states->elts) + states->nelts - 1;
    return last->status == NGX_HTTP_GATEWAY_TIME_OUT;
}

/**
 * The most output that an answer may have had which nobody has seen. If the reservation follows
 * from what is learned, it is less than the request asks for: a client that has used little until
 * now could leave before each long answer.
 */
Amount reserved_output(ngx_http_request_t* r, const TokenContext& tokens, Amount prompt) {
    const RequestInfo* info = read_request_info(r);
    Amount most = 0;
    const bool is_limited = info != nullptr && info->most_output(&most);
    if (tokens.reserves_by_body) {
        const Amount reserved = ngx_min(tokens.reserved_output, tokens.reserved);
        return reserved == 0 ? 0
               : is_limited  ? ngx_max(most, reserved)
                             : ngx_max(kUnknownOutput, reserved);
    }
    if (is_limited) {
        return ngx_min(most, tokens.reserved);
    }
    return tokens.reserved > prompt ? tokens.reserved - prompt : 0;
}

}  // namespace

bool is_success(ngx_uint_t status) {
    return status >= NGX_HTTP_OK && status < NGX_HTTP_SPECIAL_RESPONSE;
}

bool is_abandoned(ngx_http_request_t* r, bool whole) {
    ngx_http_upstream_t* upstream = r->upstream;
    if (upstream == nullptr || !upstream->request_body_sent) {
        return false;
    }
    ngx_uint_t status = upstream->headers_in.status_n;
    return (status == 0 || is_success(status)) && (!whole || has_timed_out(r));
}

AnswerCost cost_of_abandoned(ngx_http_request_t* r, const TokenContext& tokens) {
    Amount prompt = estimated_prompt(r);
    Millis waited = -static_cast<Millis>(msec_until(r->upstream->start_time));
    return abandoned_cost(prompt, waited, reserved_output(r, tokens, prompt));
}

}  // namespace ai_limit
