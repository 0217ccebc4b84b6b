#pragma once

// ai_limit_body_field: variables from the request's JSON body.

#include "core/requests/body_fields.h"
#include "nginx/token_context.h"

namespace ai_limit {

/** The fields that a configuration names, and the variables that they are. */
struct BodyFieldsConf {
    BodyFieldPaths paths;
    ngx_array_t variables;  // their names, without the dollar sign: ngx_str_t
};

extern "C" char* ngx_http_ai_limit_body_field(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);

/** True if a variable, by its name without the dollar sign, is a field of the body. */
bool is_body_field(const MainConf& conf, std::string_view name);

/** Puts a reader of the fields for a body that is to be read into `fields`; nullptr if the
 * configuration names none. Its values go into `tokens`. NGX_ERROR without memory. */
ngx_int_t begin_body_fields(ngx_http_request_t* r, TokenContext* tokens, BodyFields** fields);

}  // namespace ai_limit
