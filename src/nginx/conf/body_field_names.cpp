#include "nginx/conf/body_field_names.h"

namespace ai_limit {

bool is_body_field(const MainConf& conf, std::string_view name) {
    if (conf.body_fields == nullptr) {
        return false;
    }
    const ngx_array_t& variables = conf.body_fields->variables;
    for (ngx_uint_t i = 0; i < variables.nelts; ++i) {
        if (equal_ignoring_case(view(static_cast<ngx_str_t*>(variables.elts)[i]), name)) {
            return true;
        }
    }
    return false;
}

}  // namespace ai_limit
