#pragma once

// Functions for reading any directive: its words, and reporting a mistake in one.

#include "core/zone/zone.h"
#include "nginx/conf/position.h"

namespace ai_limit {

inline char* error_result() {
    return static_cast<char*>(NGX_CONF_ERROR);
}

/** Says `<directive>: <what> "<word>"<why>`. */
inline char* mistake(ngx_conf_t* cf, const char* what, ngx_str_t word, const char* why = "") {
    ngx_str_t* directive = static_cast<ngx_str_t*>(cf->args->elts);
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%V: %s \"%V\"%s", directive, what, &word, why);
    return error_result();
}

/** The same for a mistake that is found only after all directives are read; `what` names the
 * directive. */
inline ngx_int_t mistake_at(ngx_conf_t* cf, const Position& position, const char* what,
                            ngx_str_t word, const char* why) {
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%s \"%V\"%s in %V:%ui", what, &word, why,
                  &position.file, position.line);
    return NGX_ERROR;
}

/** Warns about a word that is accepted, and is probably not meant. */
inline void warn_at(ngx_conf_t* cf, const Position& position, const char* what, ngx_str_t word,
                    const char* why) {
    ngx_log_error(NGX_LOG_WARN, cf->log, 0, "%s \"%V\"%s in %V:%ui", what, &word, why,
                  &position.file, position.line);
}

inline ngx_str_t* arguments(ngx_conf_t* cf) {
    return static_cast<ngx_str_t*>(cf->args->elts) + 1;
}

inline ngx_uint_t argument_count(ngx_conf_t* cf) {
    return cf->args->nelts - 1;
}

inline Position position_of(ngx_conf_t* cf) {
    return {cf->conf_file->file.name, cf->conf_file->line};
}

/** Reads the part behind `name=` if the word begins with that. */
inline bool value_of(const ngx_str_t& word, std::string_view name, ngx_str_t* value) {
    std::string_view text = view(word);
    if (text.substr(0, name.size()) != name) {
        return false;
    }
    *value = to_ngx(text.substr(name.size()));
    return true;
}

inline bool has_variables(const ngx_str_t& text) {
    return view(text).find('$') != std::string_view::npos;
}

/** Names end up in headers, JSON, labels and names of variables. */
inline bool is_name(const ngx_str_t& text) {
    for (char c : view(text)) {
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '-' && c != '.') {
            return false;
        }
    }
    return text.len != 0 && text.len <= kMaxPolicyName && view(text) != "off";
}

template <typename T>
T* allocate(ngx_conf_t* cf) {
    return static_cast<T*>(ngx_pcalloc(cf->pool, sizeof(T)));
}

template <typename T>
ngx_int_t append(ngx_array_t* array, T item) {
    T* place = static_cast<T*>(ngx_array_push(array));
    if (place == nullptr) {
        return NGX_ERROR;
    }
    *place = item;
    return NGX_OK;
}

}  // namespace ai_limit
