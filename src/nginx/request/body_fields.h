#pragma once

// Reads the fields of a request's JSON body that ai_limit_body_field names.

#include "core/requests/body_fields.h"
#include "nginx/request/token_context.h"

namespace ai_limit {

/** Puts a reader of the fields for a body that is to be read into `fields`; nullptr if the
 * configuration names none. Its values go into `tokens`. NGX_ERROR without memory. */
ngx_int_t begin_body_fields(ngx_http_request_t* r, TokenContext* tokens, BodyFields** fields);

}  // namespace ai_limit
