#include "nginx/body/accepted_codings.h"

#include "nginx/body/answer_decoder.h"

namespace ai_limit {

namespace {

constexpr std::string_view kName = "accept-encoding";
constexpr std::string_view kIdentity = "identity";

std::string_view without_spaces(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
        text.remove_prefix(1);
    }
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) {
        text.remove_suffix(1);
    }
    return text;
}

/** True if the module can read the coding of an element, which may have a weight (RFC 9110,
 * 12.5.3). */
bool is_readable(std::string_view element) {
    std::string_view coding = without_spaces(element.substr(0, element.find(';')));
    return !coding.empty() && content_coding(coding) != ContentCoding::kUnknown;
}

/** Calls visit(element, readable) for each element of the list. */
template <typename Visit>
void each_element(std::string_view list, const Visit& visit) {
    while (!list.empty()) {
        size_t comma = list.find(',');
        std::string_view element = without_spaces(list.substr(0, comma));
        list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
        visit(element, is_readable(element));
    }
}

bool is_all_readable(std::string_view list) {
    bool all = true;
    each_element(list, [&](std::string_view, bool readable) { all = all && readable; });
    return all;
}

ngx_int_t keep_readable(ngx_http_request_t* r, ngx_str_t* value) {
    u_char* space = static_cast<u_char*>(ngx_pnalloc(r->pool, value->len + 2 * kIdentity.size()));
    if (space == nullptr) {
        return NGX_ERROR;
    }
    u_char* end = space;
    each_element(view(*value), [&](std::string_view element, bool readable) {
        if (readable) {
            end = end != space ? ngx_cpymem(end, ", ", 2) : end;
            end = ngx_cpymem(end, element.data(), element.size());
        }
    });
    if (end == space) {
        end = ngx_cpymem(end, kIdentity.data(), kIdentity.size());
    }
    *value = {static_cast<size_t>(end - space), space};
    return NGX_OK;
}

ngx_int_t limit_one(ngx_http_request_t* r, AcceptedCodings accepted, ngx_table_elt_t* header) {
#if (NGX_HTTP_GZIP || NGX_HTTP_HEADERS)
    if (r->headers_in.accept_encoding == header) {
        ngx_table_elt_t* copy =
            static_cast<ngx_table_elt_t*>(ngx_palloc(r->pool, sizeof(ngx_table_elt_t)));
        if (copy == nullptr) {
            return NGX_ERROR;
        }
        *copy = *header;
        r->headers_in.accept_encoding = copy;
    }
#endif
    if (accepted == AcceptedCodings::kNone) {
        header->value = to_ngx(kIdentity);
        return NGX_OK;
    }
    return keep_readable(r, &header->value);
}

}  // namespace

ngx_int_t limit_accepted_codings(ngx_http_request_t* r, AcceptedCodings accepted) {
    for (ngx_list_part_t* part = &r->headers_in.headers.part; part != nullptr; part = part->next) {
        ngx_table_elt_t* headers = static_cast<ngx_table_elt_t*>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; ++i) {
            bool concerned =
                headers[i].key.len == kName.size() &&
                ngx_memcmp(headers[i].lowcase_key, kName.data(), kName.size()) == 0 &&
                (accepted == AcceptedCodings::kNone || !is_all_readable(view(headers[i].value)));
            if (concerned && limit_one(r, accepted, &headers[i]) != NGX_OK) {
                return NGX_ERROR;
            }
        }
    }
    return NGX_OK;
}

}  // namespace ai_limit
