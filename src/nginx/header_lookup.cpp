#include "nginx/header_lookup.h"

namespace ai_limit {

ngx_int_t name_header(ngx_conf_t* cf, std::string_view variable, HeaderName* name) {
    u_char* text = static_cast<u_char*>(ngx_pnalloc(cf->pool, variable.size()));
    if (text == nullptr) {
        return NGX_ERROR;
    }
    for (size_t i = 0; i < variable.size(); ++i) {
        text[i] = variable[i] == '_' ? '-' : ngx_tolower(static_cast<u_char>(variable[i]));
    }
    name->text = {variable.size(), text};
    name->hash = ngx_hash_key(text, variable.size());
    return NGX_OK;
}

bool find_single_header(ngx_http_request_t* r, const HeaderName& name, ngx_str_t* value) {
    const ngx_table_elt_t* found = nullptr;
    for (ngx_list_part_t* part = &r->headers_in.headers.part; part != nullptr; part = part->next) {
        const ngx_table_elt_t* header = static_cast<ngx_table_elt_t*>(part->elts);
        for (const ngx_table_elt_t* end = header + part->nelts; header != end; ++header) {
            if (header->hash != name.hash || header->key.len != name.text.len ||
                ngx_memcmp(header->lowcase_key, name.text.data, name.text.len) != 0) {
                continue;
            }
            if (found != nullptr) {
                return false;
            }
            found = header;
        }
    }
    if (found == nullptr) {
        return false;
    }
    *value = found->value;
    return true;
}

}  // namespace ai_limit
