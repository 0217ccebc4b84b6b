#include "nginx/variable_uses.h"

#include "nginx/config.h"

namespace ai_limit {

namespace {

constexpr std::string_view kBodyVariables[] = {"ai_limit_model", "ai_limit_stream"};

constexpr std::string_view kUsageVariables[] = {"ai_limit_input_tokens", "ai_limit_output_tokens",
                                                "ai_limit_cached_tokens", "ai_limit_total_tokens",
                                                "ai_limit_usage_source"};

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

/** Whether a variable has been given an index, which is how nginx reads one. */
template <size_t N>
bool uses_one_of(ngx_conf_t* cf, const std::string_view (&names)[N]) {
    const ngx_array_t& used = core_conf(cf)->variables;
    ngx_http_variable_t* variables = static_cast<ngx_http_variable_t*>(used.elts);
    for (ngx_uint_t i = 0; i < used.nelts; ++i) {
        if (is_one_of(names, view(variables[i].name))) {
            return true;
        }
    }
    return false;
}

/** Whether map, set or the like define the variable. */
bool is_defined_by_configuration(ngx_conf_t* cf, std::string_view name) {
    if (is_one_of(kChangeableByNginx, name)) {
        return false;
    }
    const ngx_array_t& known = core_conf(cf)->variables_keys->keys;
    ngx_hash_key_t* keys = static_cast<ngx_hash_key_t*>(known.elts);
    for (ngx_uint_t i = 0; i < known.nelts; ++i) {
        if (equal_ignoring_case(view(keys[i].key), name)) {
            ngx_http_variable_t* variable = static_cast<ngx_http_variable_t*>(keys[i].value);
            return (variable->flags & NGX_HTTP_VAR_CHANGEABLE) != 0;
        }
    }
    return false;
}

}  // namespace

bool uses_body_variables(ngx_conf_t* cf) {
    return uses_one_of(cf, kBodyVariables);
}

bool uses_usage_variables(ngx_conf_t* cf) {
    return uses_one_of(cf, kUsageVariables);
}

bool may_depend_on_body(ngx_conf_t* cf, std::string_view text) {
    for (size_t at = text.find('$'); at != std::string_view::npos; at = text.find('$', at)) {
        at += text.substr(at + 1, 1) == "{" ? 2 : 1;
        size_t end = at;
        while (end < text.size() && is_variable_letter(text[end])) {
            ++end;
        }
        std::string_view name = text.substr(at, end - at);
        if (is_one_of(kBodyVariables, name) || is_defined_by_configuration(cf, name)) {
            return true;
        }
        at = end;
    }
    return false;
}

}  // namespace ai_limit
