#include "nginx/request/body_field_directive.h"

#include <new>

#include "nginx/conf/body_field_names.h"
#include "nginx/conf/conf_words.h"
#include "nginx/directives/variable_uses.h"
#include "nginx/request/request_body.h"

namespace ai_limit {

namespace {

constexpr std::string_view kExpected = ", expected $user /user, for example";

/** Empty before the body has been read. */
ngx_int_t body_field_variable(ngx_http_request_t* r, ngx_http_variable_value_t* v,
                              uintptr_t field) noexcept {
    if (read_request_info(r) == nullptr) {
        return NGX_ERROR;
    }
    const TokenContext* tokens = find_token_context(r->main);
    std::string_view text;
    if (tokens->fields != nullptr) {
        text = tokens->fields[field].text.view();
    }
    v->len = static_cast<unsigned>(text.size()) & 0xfffffff;
    v->data = to_ngx(text).data;
    v->valid = text.empty() ? 0 : 1;
    v->no_cacheable = 0;
    v->not_found = text.empty() ? 1 : 0;
    return NGX_OK;
}

bool is_variable(std::string_view word) {
    if (word.size() < 2 || word.front() != '$' || (word[1] >= '0' && word[1] <= '9')) {
        return false;
    }
    for (const char c : word.substr(1)) {
        if (!is_variable_letter(c)) {
            return false;
        }
    }
    return true;
}

/** Returns a text without data if there is no memory. */
ngx_str_t lower_case(ngx_conf_t* cf, const ngx_str_t& text) {
    u_char* lower = static_cast<u_char*>(ngx_pnalloc(cf->pool, text.len + 1));
    if (lower != nullptr) {
        ngx_strlow(lower, text.data, text.len);
    }
    return {text.len, lower};
}

/** Returns nullptr without memory. */
BodyFieldsConf* fields_of(ngx_conf_t* cf, MainConf* main) {
    if (main->body_fields == nullptr) {
        void* memory = ngx_palloc(cf->pool, sizeof(BodyFieldsConf));
        if (memory == nullptr) {
            return nullptr;
        }
        BodyFieldsConf* fields = new (memory) BodyFieldsConf();
        if (ngx_array_init(&fields->variables, cf->pool, 4, sizeof(ngx_str_t)) != NGX_OK) {
            return nullptr;
        }
        main->body_fields = fields;
    }
    return main->body_fields;
}

}  // namespace

char* ngx_http_ai_limit_body_field(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    BodyFieldsConf* fields = fields_of(cf, static_cast<MainConf*>(conf));
    if (fields == nullptr) {
        return error_result();
    }
    ngx_str_t word = arguments(cf)[0];
    ngx_str_t pointer = arguments(cf)[1];
    if (!is_variable(view(word))) {
        return mistake(cf, "invalid variable", word, kExpected.data());
    }
    ngx_str_t name = to_ngx(view(word).substr(1));
    if (is_defined(cf, view(name))) {
        return mistake(cf, "there is already a variable", word);
    }
    size_t field = 0;
    ngx_str_t lower = lower_case(cf, pointer);
    if (lower.data == nullptr) {
        return error_result();
    }
    if (const char* error = fields->paths.add(view(lower), &field)) {
        ngx_conf_log_error(
            NGX_LOG_EMERG, cf, 0,
            "ai_limit_body_field: invalid JSON Pointer \"%V\": %s, expected /user or "
            "/metadata/user_id, for example",
            &pointer, error);
        return error_result();
    }
    ngx_http_variable_t* variable = ngx_http_add_variable(cf, &name, NGX_HTTP_VAR_NOCACHEABLE);
    if (variable == nullptr) {
        return error_result();  // nginx has said why
    }
    variable->get_handler = body_field_variable;
    variable->data = field;
    return append(&fields->variables, name) == NGX_OK ? NGX_CONF_OK : error_result();
}

}  // namespace ai_limit
