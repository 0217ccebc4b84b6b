#pragma once

// Requests whose answer nobody has seen.

#include "core/counts/answer_cost.h"
#include "nginx/request/token_context.h"

namespace ai_limit {

/** The status of an answer that a model may have made. */
bool is_success(ngx_uint_t status);

/**
 * The upstream has got all of the request, and the client has left, or nginx has given up (`whole`:
 * its own answer is there), before the upstream's answer began. The model may have worked all the
 * time. If the upstream itself answers 504, nobody gave up: `status_n` is set.
 */
bool is_abandoned(ngx_http_request_t* r, bool whole);

/** The cost of an abandoned request: its prompt, and the time that the model has had. */
AnswerCost cost_of_abandoned(ngx_http_request_t* r, const TokenContext& tokens);

}  // namespace ai_limit
