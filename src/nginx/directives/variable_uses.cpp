#include "nginx/directives/variable_uses.h"

#include "nginx/conf/body_field_names.h"

namespace ai_limit {

namespace {

constexpr std::string_view kBodyVariables[] = {"ai_limit_model", "ai_limit_stream",
                                               "ai_limit_service_tier"};

constexpr std::string_view kUsageVariables[] = {
    "ai_limit_input_tokens",       "ai_limit_output_tokens",
    "ai_limit_cached_tokens",      "ai_limit_total_tokens",
    "ai_limit_cache_write_tokens", "ai_limit_reasoning_tokens",
    "ai_limit_response_model",     "ai_limit_service_tier",
    "ai_limit_usage_source",       "ai_limit_cost"};

/** nginx's own among those that a configuration may change. */
constexpr std::string_view kChangeableByNginx[] = {"args", "limit_rate"};

template <size_t N>
bool is_one_of(const std::string_view (&names)[N], std::string_view name) {
    for (std::string_view candidate : names) {
        if (equal_ignoring_case(candidate, name)) {
            return true;
        }
    }
    return false;
}

ngx_http_core_main_conf_t* core_conf(ngx_conf_t* cf) {
    return static_cast<ngx_http_core_main_conf_t*>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module));
}

MainConf* own_conf(ngx_conf_t* cf) {
    return static_cast<MainConf*>(ngx_http_conf_get_module_main_conf(cf, ngx_http_ai_limit_module));
}

bool is_of_body(ngx_conf_t* cf, std::string_view name) {
    return is_one_of(kBodyVariables, name) || is_body_field(*own_conf(cf), name);
}

/** True if a variable for which `is_wanted` has been given an index, which is how nginx reads one.
 */
template <typename Wanted>
bool uses_variable(ngx_conf_t* cf, Wanted is_wanted) {
    const ngx_array_t& used = core_conf(cf)->variables;
    ngx_http_variable_t* variables = static_cast<ngx_http_variable_t*>(used.elts);
    for (ngx_uint_t i = 0; i < used.nelts; ++i) {
        if (is_wanted(view(variables[i].name))) {
            return true;
        }
    }
    return false;
}

/** Returns nullptr if nobody has defined it so far. */
const ngx_http_variable_t* find_variable(ngx_conf_t* cf, std::string_view name) {
    const ngx_array_t& known = core_conf(cf)->variables_keys->keys;
    ngx_hash_key_t* keys = static_cast<ngx_hash_key_t*>(known.elts);
    for (ngx_uint_t i = 0; i < known.nelts; ++i) {
        if (equal_ignoring_case(view(keys[i].key), name)) {
            return static_cast<ngx_http_variable_t*>(keys[i].value);
        }
    }
    return nullptr;
}

/** True if map, set or the like define the variable. */
bool is_defined_by_configuration(ngx_conf_t* cf, std::string_view name) {
    if (is_one_of(kChangeableByNginx, name)) {
        return false;
    }
    const ngx_http_variable_t* variable = find_variable(cf, name);
    return variable != nullptr && (variable->flags & NGX_HTTP_VAR_CHANGEABLE) != 0;
}

}  // namespace

bool is_defined(ngx_conf_t* cf, std::string_view name) {
    return find_variable(cf, name) != nullptr;
}

bool uses_body_variables(ngx_conf_t* cf) {
    return uses_variable(cf, [cf](std::string_view name) { return is_of_body(cf, name); });
}

bool uses_usage_variables(ngx_conf_t* cf) {
    return uses_variable(cf,
                         [](std::string_view name) { return is_one_of(kUsageVariables, name); });
}

bool uses_cost_variable(ngx_conf_t* cf) {
    return uses_variable(
        cf, [](std::string_view name) { return equal_ignoring_case(name, "ai_limit_cost"); });
}

bool may_depend_on_body(ngx_conf_t* cf, std::string_view text) {
    for (size_t at = text.find('$'); at != std::string_view::npos; at = text.find('$', at)) {
        at += text.substr(at + 1, 1) == "{" ? 2 : 1;
        size_t end = at;
        while (end < text.size() && is_variable_letter(text[end])) {
            ++end;
        }
        std::string_view name = text.substr(at, end - at);
        if (is_of_body(cf, name) || is_defined_by_configuration(cf, name)) {
            return true;
        }
        at = end;
    }
    return false;
}

}  // namespace ai_limit
