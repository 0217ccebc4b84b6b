#pragma once

// Finds out how a configuration uses variables. Call these once all of it has been read.

#include "nginx/conf/text.h"

namespace ai_limit {

/** True if nginx, a module or the configuration so far defines a variable of that name. */
bool is_defined(ngx_conf_t* cf, std::string_view name);

/** True if anything in the configuration reads the request's model, whether it streams, or a field
 * of its body. */
bool uses_body_variables(ngx_conf_t* cf);

/** True if anything reads what an answer says that it used. */
bool uses_usage_variables(ngx_conf_t* cf);

/** True if $ai_limit_cost is used anywhere. */
bool uses_cost_variable(ngx_conf_t* cf);

/**
 * True if a text's variables may depend on the request's body: they are the model or the like, a
 * field of the body, or defined by the configuration (map, set, …), which may use those. Call
 * it only if uses_body_variables().
 */
bool may_depend_on_body(ngx_conf_t* cf, std::string_view text);

}  // namespace ai_limit
