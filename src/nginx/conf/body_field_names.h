#pragma once

#include "core/requests/body_fields.h"
#include "nginx/conf/config.h"

namespace ai_limit {

/** The fields that a configuration names, and the variables that they are. */
struct BodyFieldsConf {
    BodyFieldPaths paths;
    ngx_array_t variables;  // their names, without the dollar sign: ngx_str_t
};

/** True if a variable, by its name without the dollar sign, is a field of the body. */
bool is_body_field(const MainConf& conf, std::string_view name);

}  // namespace ai_limit
