#pragma once

#include "nginx/request/request_context.h"

namespace ai_limit {

/** Puts the two deciding handlers where they belong among nginx's phases. */
ngx_int_t add_phase_handlers(ngx_conf_t* cf);

// Used both by decisions that may wait for a body (admit_with_body.h) and by the others:

/** Takes the charges that depend on a body while it is awaited. */
struct Awaiting {
    /** Charges as if nothing were reserved; they are refused if nothing is left. nullptr if nobody
     * looks at that. */
    Decision* look;
};

/**
 * True if a policy has taken part in this decision or an earlier one. Also true of one that a
 * refusal before its phase has spared: error_page must not lead to a charge by it. But a request
 * that was refused unasked (is_refused_unasked()) must not be free for a model: where a location
 * hands it to a content handler, such as proxy_pass, its policies decide.
 */
bool was_decided(ngx_http_request_t* r, const Decision* latest, const PolicyConf* policy);

/**
 * Adds the charges of a set's policies where the body may matter. While it has not been read, those
 * that depend on it are put off: their bits are set in `later`. Once it has (`awaiting` is
 * nullptr), only they are added.
 */
ngx_int_t collect_with_body(ngx_http_request_t* r, const PolicySet& set, const Awaiting* awaiting,
                            uint32_t* later, Decision* one);

/** Notes what was decided, counts it, and refuses; returns what the phase's handler is to return.
 */
ngx_int_t conclude_with_body(ngx_http_request_t* r, const LocConf& conf, const PolicySet& set,
                             Decision* one, bool passes);

}  // namespace ai_limit
