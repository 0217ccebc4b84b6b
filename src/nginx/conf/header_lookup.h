#pragma once

#include "core/words/optional_space.h"
#include "ngx.h"

namespace ai_limit {

/** Takes the white space away that servers do not see around a header's value (RFC 9110, 5.5), and
 * that nginx keeps. Nearly all values have none. */
inline void trim(ngx_str_t* value) {
    const auto may_be_space = [](u_char c) { return c <= ' '; };
    if (value->len != 0 &&
        __builtin_expect(may_be_space(value->data[0]) || may_be_space(value->data[value->len - 1]),
                         0)) {
        *value = to_ngx(trim_optional_space(view(*value)));
    }
}

/** The header that $http_NAME stands for: its name in lower case with dashes, and nginx's hash of
 * that. */
struct HeaderName {
    ngx_str_t text;
    ngx_uint_t hash;
};

/** The header of the variable $http_NAME; the configuration's pool owns its text. NGX_ERROR without
 * memory. */
ngx_int_t name_header(ngx_conf_t* cf, std::string_view variable, HeaderName* name);

/**
 * The value of a header that comes once, found without nginx's character-by-character comparison
 * with every header, which costs more than a whole decision. nullptr if it does not come, or
 * several times: then it is for nginx to say what the variable is.
 */
const ngx_str_t* find_single_header(ngx_http_request_t* r, const HeaderName& name);

/**
 * Takes the white space around the values of all request headers away, for a text that reads them
 * in ways that only nginx knows (a map, several variables). Values that a variable has been given
 * before stay.
 */
void trim_headers(ngx_http_request_t* r);

/**
 * Says what a header that comes several times is, once its values are trimmed; `value` is what
 * nginx says. Headers that say the same are one, and an empty one hides no other. Otherwise nginx's
 * word stays.
 */
void settle_repeated_header(ngx_http_request_t* r, const HeaderName& name, ngx_str_t* value);

}  // namespace ai_limit
