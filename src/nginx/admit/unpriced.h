#pragma once

// Requests of a model without a price, where a policy in money applies.

#include "nginx/request/request_context.h"

namespace ai_limit {

/**
 * Lets the policies in money of a decision, whose body has been read, refuse a request without a
 * price: is_unpriced() is then true, and the decision is to be concluded as refused without being
 * made. If all of them are on a dry run, moves them into a decision of their own, which it
 * concludes, and the others decide on. NGX_ERROR without memory.
 */
ngx_int_t refuse_unpriced(ngx_http_request_t* r, const LocConf& conf, const PolicySet& set,
                          Decision* one);

}  // namespace ai_limit
