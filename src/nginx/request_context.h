#pragma once

// The module's memory of a client's request, over all its internal redirects.

#include "nginx/config.h"

namespace ai_limit {

struct TokenContext;  // token_context.h
struct Flight;        // redis_flights.h

/** A charge's part in one decision. */
struct Part {
    PolicyConf*
        policy;  // nullptr of a ledger and of what holds tokens, which the policy's own follow
    ngx_str_t key;
};

/** One decision: the policies of one phase that were evaluated together. */
struct Decision {
    Decision* earlier;
    ngx_uint_t count;
    const PolicyList* spared;  // after a refusal: what is not asked any more; else nullptr
    Flight** flights;  // by charge, what is in flight in Redis; nullptr where nothing is shared
    bool dry_run;      // by ai_limit_dry_run: refuses nothing
    bool refused;      // or would have, on a dry run
    Now now;
    Part* parts;
    Charge charges[kMaxCharges];  // only as many are allocated as were asked for, before the parts
};

struct RequestContext {
    ngx_pool_cleanup_t cleanup;  // by which it is found again, and ended with the request
    Decision* latest;
    ngx_uint_t refusal_status;       // 0 where the request was not refused
    ngx_uint_t refusal_uri_changes;  // r->uri_changes then: each redirect changes it
    bool in_flight;                  // a concurrency policy took part
    ngx_http_request_t* request;     // the main one
    TokenContext* tokens;            // what its body and its answer say; nullptr where nobody asked
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
 * Memory for another decision, on `count` charges at most; none is filled in, and it is not the
 * context's latest yet. nullptr without memory.
 */
Decision* add_decision(ngx_http_request_t* r, RequestContext* context, ngx_uint_t count);

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

/** True if a dry run alone kept the decision from refusing. */
bool would_refuse(const Decision& one);

/** The report on a request: the descriptions of its policies. */
struct Report {
    Report() {}

    union {  // leaves what is not used as it is
        Description all[2 * kMaxSetPolicies];
    };
    size_t count = 0;
    size_t reported = 0;         // index of the one that speaks for all
    const Part* part = nullptr;  // the reported one's
    bool refused = false;
    bool dry_run = false;  // refused, but only on a dry run

    const Description& spokesman() const { return all[reported]; }
};

/**
 * Describes the request's policies: all that took part if it passed, else those of the decision
 * that refused. `with_dry_run` also describes policies on a dry run, which headers leave out. False
 * if there is nothing to say.
 */
bool make_report(RequestContext* context, bool with_dry_run, Report* report);

/** Describes the charge of a policy after the decision at the time `now`. */
Description describe_charge(const Charge& charge, const PolicyConf& policy, Now now);

/** Returns the policy's charge in the request's latest or an earlier decision, and that decision in
 * `evaluation`; nullptr if the policy did not take part. */
const Charge* find_charge(const Decision* latest, const PolicyConf* policy,
                          const Decision** decision = nullptr);

/** Describes one policy of the request. Returns false if it did not take part. */
bool describe_policy(RequestContext* context, const PolicyConf* policy, Description* said);

}  // namespace ai_limit
