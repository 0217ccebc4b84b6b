#pragma once

// `ai_limit_max_output remaining`: limits the output of a request to what its tightest policy in
// tokens has left.

#include "nginx/decision/decision.h"
#include "nginx/request/max_output.h"

namespace ai_limit {

/** True if the decision is one for which the output is to be limited so. */
bool limits_to_remaining(const LocConf& conf, const Decision& one, const TokenContext& tokens);

/** The outcome of lowering the output of a request. */
enum class Lowering : uint8_t {
    kUnchanged,   // no policy has less left than before
    kLowered,     // the charges now have the lower reservations
    kImpossible,  // the body cannot be changed: RequestOutput::limits says why
    kFailed       // there is no memory
};

/**
 * Looks at what remains before the first attempt to admit the request, and lowers its output and
 * its reservations to that. The charges then have what a decision needs.
 */
Lowering lower_at_first(ngx_http_request_t* r, TokenContext* tokens, Decision* one);

/** The same after a refusal, by what the refusal said: others were faster, or Redis knew better. */
Lowering lower_again(ngx_http_request_t* r, TokenContext* tokens, Decision* one);

}  // namespace ai_limit
