#pragma once

#include "nginx/request/request_context.h"

namespace ai_limit {

/** Logs a refusal and answers it; returns what the phase handler is to return. */
ngx_int_t refuse(ngx_http_request_t* r, RequestContext* context);

/** Adds a header with a static value to the answer; false without memory. */
bool add_header(ngx_http_request_t* r, const ResponseHeaderName& name, std::string_view value);

/**
 * Logs and answers a request that cannot be counted, with a status and `why`, a sentence as
 * answer_error() takes it. `what` goes on behind "refusing a request" in the log. Returns what the
 * phase handler is to return.
 */
ngx_int_t refuse_uncounted(ngx_http_request_t* r, ngx_uint_t status, const char* what,
                           std::string_view why);

/** Logs that the request would have been refused, were it not for a dry run. */
void log_dry_run(ngx_http_request_t* r, RequestContext* context);

/**
 * Answers with this status, from 400 to 499, and a body that says the sentence in the location's
 * ai_limit_error_format: for what is refused without a policy's decision, such as a body that
 * cannot be read. `sentence` is plain text for the client, ends with a period, has at most
 * kMaxErrorSentence bytes, and is escaped. error_page and `ai_limit_error_format off` are obeyed.
 *
 * Call it in a phase handler and return what it returns: NGX_DONE once the request is finalized, or
 * a status that nginx is to answer with. It writes no log line and counts nothing.
 */
ngx_int_t answer_error(ngx_http_request_t* r, ngx_uint_t status, std::string_view sentence);

}  // namespace ai_limit
