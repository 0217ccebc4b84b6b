#include "nginx/conf/header_lookup.h"

namespace ai_limit {

namespace {

uint64_t word_at(const u_char* p) {
    uint64_t word;
    ngx_memcpy(&word, p, sizeof(word));
    return word;
}

/** Compares in words: names are short, and a call costs more than the comparison. */
inline bool is_named(const ngx_table_elt_t& header, const ngx_str_t& name) {
    constexpr size_t kWord = sizeof(uint64_t);
    if (header.key.len != name.len) {
        return false;
    }
    if (name.len < kWord) {
        return ngx_memcmp(header.lowcase_key, name.data, name.len) == 0;
    }
    size_t last = name.len - kWord;
    for (size_t i = 0; i < last; i += kWord) {
        if (word_at(header.lowcase_key + i) != word_at(name.data + i)) {
            return false;
        }
    }
    return word_at(header.lowcase_key + last) == word_at(name.data + last);
}

}  // namespace

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

__attribute__((hot)) const ngx_str_t* find_single_header(ngx_http_request_t* r,
                                                         const HeaderName& name) {
    const ngx_table_elt_t* found = nullptr;
    for (ngx_list_part_t* part = &r->headers_in.headers.part; part != nullptr; part = part->next) {
        const ngx_table_elt_t* header = static_cast<ngx_table_elt_t*>(part->elts);
        for (const ngx_table_elt_t* end = header + part->nelts; header != end; ++header) {
            if (header->hash != name.hash || !is_named(*header, name.text)) {
                continue;
            }
            if (found != nullptr) {
                return nullptr;
            }
            found = header;
        }
    }
    return found != nullptr ? &found->value : nullptr;
}

void trim_headers(ngx_http_request_t* r) {
    for (ngx_list_part_t* part = &r->headers_in.headers.part; part != nullptr; part = part->next) {
        ngx_table_elt_t* header = static_cast<ngx_table_elt_t*>(part->elts);
        for (ngx_table_elt_t* end = header + part->nelts; header != end; ++header) {
            trim(&header->value);
        }
    }
}

void settle_repeated_header(ngx_http_request_t* r, const HeaderName& name, ngx_str_t* value) {
    std::string_view first;
    bool differ = false;
    for (ngx_list_part_t* part = &r->headers_in.headers.part; part != nullptr; part = part->next) {
        const ngx_table_elt_t* header = static_cast<ngx_table_elt_t*>(part->elts);
        for (const ngx_table_elt_t* end = header + part->nelts; header != end; ++header) {
            if (header->hash != name.hash || !is_named(*header, name.text)) {
                continue;
            }
            const std::string_view own = trim_optional_space(view(header->value));
            differ = differ || (!first.empty() && !own.empty() && own != first);
            first = first.empty() ? own : first;
        }
    }
    if (!differ || value->len == 0) {
        *value = to_ngx(first);
    }
}

}  // namespace ai_limit
