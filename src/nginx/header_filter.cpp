// Writes the rate-limit headers of a response.

#include "nginx/header_filter.h"

#include "nginx/request_context.h"

namespace ai_limit {

namespace {

ngx_http_output_header_filter_pt next_header_filter;

/** Adds to nginx's list of headers. */
class ResponseHeaders final : public HeaderSink {
public:
    /** `keep`: headers that the response has already stay, and ours of that name are left out. */
    ResponseHeaders(ngx_http_request_t* r, bool keep) : r_(r), keep_(keep) {}

    char* space(size_t n) override { return static_cast<char*>(ngx_pnalloc(r_->pool, n)); }

    bool put(std::string_view name, std::string_view lowercase_name,
             std::string_view value) override {
        if (keep_ && is_there(name)) {
            return true;
        }
        ngx_table_elt_t* header =
            static_cast<ngx_table_elt_t*>(ngx_list_push(&r_->headers_out.headers));
        if (header == nullptr) {
            return false;
        }
        header->hash = 1;
        header->key = to_ngx(name);
        header->value = to_ngx(value);
        header->lowcase_key = to_ngx(lowercase_name).data;
        unlink_header(header);
        return true;
    }

    /** Removes what came from upstream under a name of ours. */
    void remove(HeaderStyles styles, bool refused) {
        each([&](ngx_table_elt_t* header) {
            if (is_rate_limit_header(view(header->key), styles, refused)) {
                header->hash = 0;
            }
        });
    }

private:
    template <typename Visit>
    void each(Visit visit) {
        for (ngx_list_part_t* part = &r_->headers_out.headers.part; part != nullptr;
             part = part->next) {
            ngx_table_elt_t* headers = static_cast<ngx_table_elt_t*>(part->elts);
            for (ngx_uint_t i = 0; i < part->nelts; ++i) {
                if (headers[i].hash != 0) {
                    visit(&headers[i]);
                }
            }
        }
    }

    bool is_there(std::string_view name) {
        bool there = false;
        each([&](ngx_table_elt_t* header) {
            there |= header->key.len == name.size() &&
                     ngx_strncasecmp(header->key.data, to_ngx(name).data, name.size()) == 0;
        });
        return there;
    }

    ngx_http_request_t* r_;
    bool keep_;
};

ngx_int_t write_report(ngx_http_request_t* r, RequestContext* context, HeaderStyles styles) {
    Report report;
    if (!make_report(context, false, &report)) {
        return NGX_OK;
    }
    // error_page may have made another answer of the refusal: then there is nothing to wait for.
    bool refused = report.refused && r->headers_out.status == context->refusal_status;
    ResponseHeaders headers(r, refused && r->error_page);
    if (!(refused && r->error_page)) {
        headers.remove(styles, refused);
    }
    bool written = write_headers(styles, report.all, report.count, report.spokesman(), refused,
                                 context->latest->now, headers);
    return written || !refused ? NGX_OK : NGX_ERROR;
}

ngx_int_t header_filter(ngx_http_request_t* r) noexcept {
    ngx_uint_t styles = loc_conf(r)->headers;
    if (styles == kHeadersOff || r != r->main) {
        return next_header_filter(r);
    }
    RequestContext* context = find_context(r);
    if (context == nullptr || context->latest == nullptr) {
        return next_header_filter(r);
    }
    if (write_report(r, context, static_cast<HeaderStyles>(styles)) != NGX_OK) {
        return NGX_ERROR;
    }
    return next_header_filter(r);
}

}  // namespace

void add_header_filter() {
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = header_filter;
}

}  // namespace ai_limit
