#pragma once

// The module's memory of a client's request, over all its internal redirects.

#include "nginx/decision/decision.h"

namespace ai_limit {

struct TokenContext;  // token_context.h
struct Waiter;        // turns/turns.h
struct AccountUse;    // upstream/account_use.h

struct RequestContext {
    ngx_pool_cleanup_t cleanup;  // by which it is found again, and ended with the request
    Decision* latest;
    uint32_t refusal_status;      // 0 where the request was not refused
    uint8_t refusal_uri_changes;  // r->uri_changes then: each redirect changes it
    bool in_flight;               // a concurrency policy took part
    ngx_http_request_t* request;  // the main one
    TokenContext* tokens;         // what its body and its answer say; nullptr where nobody asked
    Waiter* waiter;               // its latest wait for its turn
    AccountUse* accounts;         // at providers, that it uses; nullptr: none
};

/** Looks for the context of a request that was redirected, which clears nginx's own pointers to it.
 */
RequestContext* recover_context(ngx_http_request_t* r);

/** The request's context, or nullptr if nothing was limited. */
inline RequestContext* find_context(ngx_http_request_t* r) {
    r = r->main;
    void* context = ngx_http_get_module_ctx(r, ngx_http_ai_limit_module);
    if (context == nullptr && (r->internal || r->filter_finalize)) {
        return recover_context(r);
    }
    return static_cast<RequestContext*>(context);
}

/**
 * Makes the context of a request that has none, and its first decision as add_decision() does.
 */
Decision* make_context(ngx_http_request_t* r, ngx_uint_t count, RequestContext** context);

/**
 * Memory for another decision, on the charges of `count` policies at most, with `more` reservations
 * and ledgers at most. None is filled in, and it is not the context's latest yet. nullptr without
 * memory.
 */
Decision* add_decision(ngx_http_request_t* r, RequestContext* context, ngx_uint_t count,
                       ngx_uint_t more = 0);

/**
 * True if the request was refused before any policy decided: its body cannot be read, or it asks
 * for a WebSocket.
 */
inline bool is_refused_undecided(const RequestContext& context) {
    const Decision* latest = context.latest;
    return latest != nullptr && latest->refused && latest->count == 0;
}

/** Notes that the request was refused so, and its latest decision, which has decided nothing. */
void note_refused_undecided(ngx_http_request_t* r, ngx_uint_t status, Decision* one);

/** Notes that the charge's key is one whose requests are served, if this one was. */
void note_if_served(const ngx_http_request_t& r, const Charge& charge);

}  // namespace ai_limit
