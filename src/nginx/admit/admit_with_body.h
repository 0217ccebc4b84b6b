#pragma once

// Decisions that may wait for the request's body, or for Redis.

#include "nginx/request/request_context.h"

namespace ai_limit {

/** Before access is granted, nobody is asked for a body for it. */
inline bool includes_usage(const LocConf& conf, const PolicySet& set) {
    return conf.include_usage && &set == &conf.list->access;
}

/** True if the body may be changed after the set's decision: it must be read for that. */
inline bool may_change_body(const LocConf& conf, const PolicySet& set) {
    return (conf.include_usage || conf.max_output != nullptr) && &set == &conf.list->access;
}

/**
 * Decides if the body may matter. First decides what needs no body, so that a client that is
 * refused need not send it.
 */
ngx_int_t evaluate_with_body(ngx_http_request_t* r, const LocConf& conf, const PolicySet& set);

}  // namespace ai_limit
