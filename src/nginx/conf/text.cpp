#include "nginx/conf/text.h"

namespace ai_limit {

bool equal_ignoring_case(std::string_view a, std::string_view b) {
    return a.size() == b.size() && ngx_strncasecmp(to_ngx(a).data, to_ngx(b).data, a.size()) == 0;
}

namespace {

constexpr std::string_view kHeaderPrefix = "http_";

/** Returns the name if the text is one variable and nothing else; empty if not. Captures ($1) do
 * not count. */
std::string_view lone_variable(std::string_view text) {
    if (text.size() < 2 || text[0] != '$') {
        return {};
    }
    text.remove_prefix(1);
    if (text.size() > 2 && text.front() == '{' && text.back() == '}') {
        text = text.substr(1, text.size() - 2);
    }
    for (char c : text) {
        if (!is_variable_letter(c)) {
            return {};
        }
    }
    return text.front() >= '0' && text.front() <= '9' ? std::string_view() : text;
}

}  // namespace

ngx_int_t compile_text(ngx_conf_t* cf, ngx_str_t* source, Text* text) {
    ngx_http_compile_complex_value_t compile{};
    compile.cf = cf;
    compile.value = source;
    compile.complex_value = &text->value;
    if (ngx_http_compile_complex_value(&compile) != NGX_OK) {
        return NGX_ERROR;
    }
    text->source = *source;
    text->variable = NGX_ERROR;
    std::string_view name = lone_variable(view(*source));
    if (!name.empty()) {
        ngx_str_t wanted = to_ngx(name);
        text->variable = ngx_http_get_variable_index(cf, &wanted);
        if (text->variable == NGX_ERROR) {
            return NGX_ERROR;
        }
        if (name.substr(0, kHeaderPrefix.size()) == kHeaderPrefix) {
            return name_header(cf, name.substr(kHeaderPrefix.size()), &text->header);
        }
    }
    return NGX_OK;
}

ngx_int_t evaluate_by_nginx(ngx_http_request_t* r, const Text* text, ngx_str_t* value) {
    if (text->trims_headers) {
        trim_headers(r);
    }
    if (text->variable == NGX_ERROR) {
        // nginx only reads the text.
        return ngx_http_complex_value(r, const_cast<ngx_http_complex_value_t*>(&text->value),
                                      value);
    }
    ngx_http_variable_value_t* found =
        ngx_http_get_flushed_variable(r, static_cast<ngx_uint_t>(text->variable));
    if (found == nullptr || found->not_found) {
        *value = {0, nullptr};
        return NGX_OK;
    }
    *value = {found->len, found->data};
    if (text->header.text.len != 0) {
        // It may have been given its value before the headers were trimmed.
        trim(value);
        if (text->reads_header) {
            settle_repeated_header(r, text->header, value);
        }
    }
    return NGX_OK;
}

namespace {

/** True if no server lets X_Api_Key in. If one does, $http_x_api_key stands for that header as well
 * as for X-Api-Key. */
bool headers_have_dashes_only(const ngx_http_core_main_conf_t& core) {
    for (ngx_uint_t i = 0; i < core.servers.nelts; ++i) {
        ngx_http_core_srv_conf_t* server =
            static_cast<ngx_http_core_srv_conf_t**>(core.servers.elts)[i];
        if (server->underscores_in_headers || !server->ignore_invalid_headers) {
            return false;
        }
    }
    return true;
}

}  // namespace

PlainHeaders plain_headers(ngx_cycle_t* cycle, ngx_int_t plain_variable) {
    ngx_http_core_main_conf_t* core = static_cast<ngx_http_core_main_conf_t*>(
        ngx_http_cycle_get_module_main_conf(cycle, ngx_http_core_module));
    const ngx_http_variable_t* variables = static_cast<ngx_http_variable_t*>(core->variables.elts);
    return {variables, variables[plain_variable].get_handler, headers_have_dashes_only(*core)};
}

void find_headers(const PlainHeaders& plain, Text* text) {
    if (text->variable == NGX_ERROR) {
        text->trims_headers = text->value.lengths != nullptr;
        return;
    }
    const ngx_http_variable_t& variable = plain.variables[text->variable];
    text->reads_header = plain.dashes_only && text->header.text.len != 0 &&
                         variable.get_handler == plain.get_handler;
    text->trims_headers = !text->reads_header && (variable.flags & NGX_HTTP_VAR_CHANGEABLE) != 0;
}

}  // namespace ai_limit
