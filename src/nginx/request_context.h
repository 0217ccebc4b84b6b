#pragma once

// What the module remembers of a client's request, over all its internal redirects.

#include "nginx/config.h"

namespace ai_limit {

/** A policy's part in one decision. */
struct Part {
    PolicyConf* policy;
    ngx_str_t key;
};

/** One decision: the policies of one phase that were evaluated together. */
struct Evaluation {
    Evaluation* earlier;
    ngx_uint_t count;
    bool dry_run;  // by ai_limit_dry_run: refuses nothing
    bool refused;  // or would have, on a dry run
    Now now;
    Charge charges[kMaxCharges];  // only `count` of them are allocated, and as many parts behind them

    Part* parts() { return reinterpret_cast<Part*>(charges + count); }
};

struct RequestContext {
    Evaluation* latest;
    ngx_uint_t refusal_status;  // 0 where the request was not refused
};

/** The request's context, or nullptr where nothing was limited. */
RequestContext* find_context(ngx_http_request_t* r);

/** The same, and makes one where there is none; nullptr where there is no memory. */
RequestContext* get_context(ngx_http_request_t* r);

/** What is said of a request. */
struct Report {
    Description all[2 * kMaxCharges];
    size_t count;
    size_t reported;  // index of the one that speaks for all
    const Part* part;  // the reported one's
    bool refused;
    bool dry_run;  // refused, but only on a dry run
};

/**
 * Describes the request's policies: all that took part where it passed, else those of the decision that
 * refused. `with_dry_run` also describes policies on a dry run, which headers leave out.
 * False where there is nothing to say.
 */
bool make_report(RequestContext* context, bool with_dry_run, Report* report);

/** What one policy of the request says; false where it did not take part. */
bool describe_policy(RequestContext* context, const PolicyConf* policy, Description* said);

}  // namespace ai_limit
