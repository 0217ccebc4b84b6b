#pragma once

// Texts with variables, such as the key of a policy.

#include "nginx/conf/header_lookup.h"
#include "ngx.h"

namespace ai_limit {

/** A text with variables; a lone variable is read without a copy. */
struct Text {
    ngx_str_t source;
    ngx_http_complex_value_t value;
    ngx_int_t variable;  // index of the lone variable, or NGX_ERROR
    HeaderName header;   // of a lone $http_NAME; its text is empty for others
    bool reads_header;   // nobody gave $http_NAME another meaning
    bool trims_headers;  // it may read headers in ways that only nginx knows
};

/** True if nginx takes the character for a part of a variable's name. */
constexpr bool is_variable_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/** Compares as nginx does with names of variables, to which policies give theirs. */
bool equal_ignoring_case(std::string_view a, std::string_view b);

/** Compiles a text with variables; the configuration's pool owns it. NGX_ERROR with nginx's own
 * message. */
ngx_int_t compile_text(ngx_conf_t* cf, ngx_str_t* source, Text* text);

/** The text as nginx's own variables make it. */
ngx_int_t evaluate_by_nginx(ngx_http_request_t* r, const Text* text, ngx_str_t* value);

/** The text for a request; empty where its variables are. The request's pool owns it. */
inline ngx_int_t evaluate(ngx_http_request_t* r, const Text* text, ngx_str_t* value) {
    const ngx_str_t* header = text->reads_header ? find_single_header(r, text->header) : nullptr;
    if (header != nullptr) {
        *value = *header;
        trim(value);
        return NGX_OK;
    }
    return evaluate_by_nginx(r, text, value);
}

/** What $http_ variables are in a configuration, to find texts that are plain request headers. */
struct PlainHeaders {
    const ngx_http_variable_t* variables;  // of the configuration, by index
    ngx_http_get_variable_pt get_handler;  // of an $http_ variable that nobody defines
    bool dashes_only;                      // $http_x_api_key stands for no header but X-Api-Key
};

/** `plain_variable` is the index of an $http_ variable that nobody defines. */
PlainHeaders plain_headers(ngx_cycle_t* cycle, ngx_int_t plain_variable);

/**
 * Finds out whether the text is a plain request header, or may be made of headers. `set` and `map`
 * may define a variable of an $http_ name themselves; then it is read by another function.
 */
void find_headers(const PlainHeaders& plain, Text* text);

}  // namespace ai_limit
