// Writes the rate-limit headers of a response.

#include "nginx/answer/header_filter.h"

#include <iterator>

#include "nginx/answer/answer.h"
#include "nginx/answer/client_dialect.h"
#include "nginx/decision/report.h"
#include "nginx/request/request_body.h"
#include "nginx/upstream/account_use.h"

namespace ai_limit {

namespace {

ngx_http_output_header_filter_pt next_header_filter;
ngx_http_output_header_filter_pt next_page_header_filter;

inline void set_header(ngx_table_elt_t* header, const ResponseHeaderName& name,
                       std::string_view value) {
    header->hash = 1;
    header->key = to_ngx(name.name);
    header->value = to_ngx(value);
    header->lowcase_key = to_ngx(name.lowercase).data;
    unlink_header(header);
}

/** Adds to nginx's list of headers. */
class ResponseHeaders final : public HeaderSink {
public:
    explicit ResponseHeaders(ngx_http_request_t* r) : r_(r) {}

    char* space(size_t n) override { return static_cast<char*>(ngx_pnalloc(r_->pool, n)); }

    bool put(std::string_view name, std::string_view lowercase_name,
             std::string_view value) override {
        ngx_table_elt_t* header =
            static_cast<ngx_table_elt_t*>(ngx_list_push(&r_->headers_out.headers));
        if (header == nullptr) {
            return false;
        }
        set_header(header, {name, lowercase_name}, value);
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

    /** True if the response says itself how long to wait, or that waiting does not help. */
    bool has_wait() {
        bool has_wait_ = false;
        each([&](ngx_table_elt_t* header) { has_wait_ |= is_wait_header(view(header->key)); });
        return has_wait_;
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

    ngx_http_request_t* r_;
};

ngx_int_t write_report(ngx_http_request_t* r, const RequestContext& context, const Report& report,
                       bool refused, HeaderStyles styles) {
    ResponseHeaders headers(r);
    headers.remove(styles, refused);
    // Nobody knows what remains if nobody could decide.
    size_t shown = report.spokesman().undecided ? 0 : report.count;
    bool written = write_headers(styles, report.all, shown, report.spokesman(), refused,
                                 context.latest->now, headers);
    return written || !refused ? NGX_OK : NGX_ERROR;
}

/** True if the answer is what error_page has made of a refusal, with the same status. */
bool is_page_of_refusal(const ngx_http_request_t* r, const RequestContext& context) {
    // r->error_page is not set where recursive_error_pages is on.
    return context.refusal_status != 0 && r->uri_changes != context.refusal_uri_changes &&
           r->headers_out.status == context.refusal_status;
}

ngx_int_t report_of_request(ngx_http_request_t* r, RequestContext* context, HeaderStyles styles) {
    Report report;
    if (is_page_of_refusal(r, *context) || !make_report(context->latest, false, &report)) {
        return NGX_OK;
    }
    // error_page may have made another answer of the refusal: then there is nothing to wait for.
    bool refused = report.refused && r->headers_out.status == context->refusal_status;
    return write_report(r, *context, report, refused, styles);
}

// The most frequent answer, made in a straight line: the default style, of a request that passed at
// its only decision.

/** The policy that is reported of a decision that passed; nullptr if all are on a dry run, or if
 * several share a key. */
inline const Charge* find_reported(const Decision& one) {
    if (one.count == 1) {
        const bool is_plain = !one.charges->use.dry_run && one.charges->sharer == nullptr;
        return is_plain ? &one.charges->use : nullptr;
    }
    const Charge* reported = nullptr;
    Standing least{};
    const PolicyCharge* end = one.charges + one.count;
    for (const PolicyCharge* policy = one.charges; policy != end; ++policy) {
        const Charge* charge = &policy->use;
        if (charge->dry_run) {
            continue;
        }
        if (policy->sharer != nullptr) {
            return nullptr;
        }
        const Limit& limit = *charge->limit;
        Standing standing = {limit.capacity, remaining_of(limit, used(limit, charge->state)), 0};
        if (reported == nullptr || is_more_restrictive(standing, least)) {
            reported = charge;
            least = standing;
        }
    }
    return reported;
}

/** Room for n headers at the end of a list; nullptr without memory. */
inline ngx_table_elt_t* push_headers(ngx_list_t* list, ngx_uint_t n) {
    ngx_list_part_t* last = list->last;
    if (last->nelts + n > list->nalloc) {
        return nullptr;
    }
    ngx_table_elt_t* first = static_cast<ngx_table_elt_t*>(last->elts) + last->nelts;
    last->nelts += n;
    return first;
}

/** False if there is no such report, or not enough room for it; then nothing was done. */
__attribute__((noinline)) bool write_short_report(ngx_http_request_t* r, const Decision& one) {
    if (one.refused || one.dry_run || one.earlier != nullptr) {
        return false;
    }
    const Charge* reported = find_reported(one);
    if (reported == nullptr) {
        return false;
    }
    ResponseHeaders(r).remove(header_styles(HeaderStyle::kXRateLimit), false);
    char* space = static_cast<char*>(ngx_pnalloc(r->pool, kXRateLimitSize));
    ngx_table_elt_t* headers =
        space != nullptr ? push_headers(&r->headers_out.headers, std::size(kXRateLimitNames))
                         : nullptr;
    if (headers == nullptr) {
        return false;
    }
    const Limit& limit = *reported->limit;
    Amount taken = used(limit, reported->state);
    format_x_ratelimit({limit.capacity, remaining_of(limit, taken),
                        until_back(limit, reported->state, taken, one.now), limit.measure},
                       space, [&](const ResponseHeaderName& name, std::string_view value) {
                           set_header(headers++, name, value);
                       });
    return true;
}

ngx_uint_t chosen_styles(ngx_http_request_t* r, ngx_uint_t styles) {
    return styles == kHeadersAuto ? styles_of(client_dialect(r)) : styles;
}

ngx_int_t write_any_report(ngx_http_request_t* r, ngx_uint_t styles) {
    RequestContext* context = find_context(r);
    if (context == nullptr || context->latest == nullptr) {
        return NGX_OK;
    }
    styles = chosen_styles(r, styles);
    if (styles == header_styles(HeaderStyle::kXRateLimit) &&
        write_short_report(r, *context->latest)) {
        return NGX_OK;
    }
    return report_of_request(r, context, static_cast<HeaderStyles>(styles));
}

/**
 * An answer that error_page has made of a refusal either says itself how long to wait, and then it
 * is left as it is, or has all our headers: a mixture of both would contradict itself.
 */
__attribute__((noinline)) ngx_int_t write_page_report(ngx_http_request_t* r, ngx_uint_t styles) {
    RequestContext* context = find_context(r);
    if (context == nullptr || context->latest == nullptr || !is_page_of_refusal(r, *context) ||
        ResponseHeaders(r).has_wait()) {
        return NGX_OK;
    }
    Report report;
    return make_report(context->latest, false, &report) && report.refused
               ? write_report(r, *context, report, true,
                              static_cast<HeaderStyles>(chosen_styles(r, styles)))
               : NGX_OK;
}

/** Runs behind add_header, so that it sees what that adds. */
ngx_int_t page_header_filter(ngx_http_request_t* r) noexcept {
    if (r->internal && r == r->main && !r->post_action) {
        ngx_uint_t styles = loc_conf(r)->headers;
        if (styles != kHeadersOff && write_page_report(r, styles) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    return next_page_header_filter(r);
}

/** True if the log may want to know what the answer used: where a location has policies, and if
 * there are prices, what each answer of a model cost. */
bool is_usage_of_interest(ngx_http_request_t* r) {
    const MainConf& conf = *main_conf(r);
    return (conf.usage_variables && loc_conf(r)->list != nullptr) ||
           (conf.cost_variable && r->upstream != nullptr && has_request_body(r));
}

/** Returns the request's token context if its body or its answer is of interest. Makes one if the
 * usage will be for the log. nullptr otherwise, or without memory. */
TokenContext* context_of_answer(ngx_http_request_t* r) {
    TokenContext* tokens = find_token_context(r);
    return tokens == nullptr && is_usage_of_interest(r) ? token_context(r) : tokens;
}

/** What the upstream server tells about its limits is heard before headers of ours replace it. */
__attribute__((noinline)) void hear_upstream(ngx_http_request_t* r) {
    const RequestContext* context = find_context(r);
    if (context != nullptr) {
        hear_answer(r, *context);
    }
}

/** Not part of header_filter(), which costs little if nothing is to be done. */
__attribute__((noinline)) ngx_int_t filter_headers(ngx_http_request_t* r, ngx_uint_t styles) {
    if (r != r->main || r->post_action) {
        return next_header_filter(r);
    }
    if (main_conf(r)->upstreams) {
        hear_upstream(r);
    }
    if (styles != kHeadersOff && write_any_report(r, styles) != NGX_OK) {
        return NGX_ERROR;
    }
    TokenContext* tokens = main_conf(r)->tokens ? context_of_answer(r) : nullptr;
    if (tokens != nullptr && begin_answer(r, tokens) != NGX_OK) {
        return NGX_ERROR;
    }
    return next_header_filter(r);
}

__attribute__((hot)) ngx_int_t header_filter(ngx_http_request_t* r) noexcept {
    ngx_uint_t styles = loc_conf(r)->headers;
    return styles == kHeadersOff && !main_conf(r)->tokens ? next_header_filter(r)
                                                          : filter_headers(r, styles);
}

}  // namespace

void add_page_header_filter() {
    next_page_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = page_header_filter;
}

void add_header_filter() {
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = header_filter;
}

}  // namespace ai_limit
