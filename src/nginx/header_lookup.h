#pragma once

#include "ngx.h"

namespace ai_limit {

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
 * with every header, which costs more than a whole decision. nullptr where it does not come, or
 * several times: then it is for nginx to say what the variable is.
 */
const ngx_str_t* find_single_header(ngx_http_request_t* r, const HeaderName& name);

}  // namespace ai_limit
