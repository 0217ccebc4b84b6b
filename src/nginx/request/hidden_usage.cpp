#include "nginx/request/hidden_usage.h"

#include "core/usage/hidden_usage.h"
#include "nginx/request/request_body.h"

namespace ai_limit {

namespace {

constexpr std::string_view kMaskHeader = "x-goog-fieldmask";

bool header_hides_usage(ngx_http_request_t* r, std::string_view usage_field) {
    for (ngx_list_part_t* part = &r->headers_in.headers.part; part != nullptr; part = part->next) {
        const ngx_table_elt_t* header = static_cast<ngx_table_elt_t*>(part->elts);
        for (const ngx_table_elt_t* end = header + part->nelts; header != end; ++header) {
            if (header->key.len == kMaskHeader.size() &&
                ngx_memcmp(header->lowcase_key, kMaskHeader.data(), kMaskHeader.size()) == 0 &&
                mask_hides_usage(usage_field, view(header->value))) {
                return true;
            }
        }
    }
    return false;
}

/** Looks at the query that nginx passes on, and at the one that the client sent. */
bool url_hides_usage(ngx_http_request_t* r, std::string_view usage_field) {
    const std::string_view url = view(r->unparsed_uri);
    const size_t mark = url.find('?');
    const std::string_view sent = mark == url.npos ? std::string_view() : url.substr(mark + 1);
    for (const std::string_view query : {view(r->args), sent}) {
        if (query.empty()) {
            continue;
        }
        char* buffer = static_cast<char*>(ngx_pnalloc(r->pool, query.size()));
        if (buffer == nullptr || query_hides_usage(usage_field, query, buffer)) {
            return true;
        }
    }
    return false;
}

}  // namespace

bool hides_usage(ngx_http_request_t* r) {
    const RequestInfo* info = read_request_info(r);
    if (info == nullptr) {
        return true;
    }
    const std::string_view usage_field = info->usage_field();
    return !usage_field.empty() &&
           (url_hides_usage(r, usage_field) || header_hides_usage(r, usage_field));
}

}  // namespace ai_limit
