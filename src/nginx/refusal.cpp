#include "nginx/refusal.h"

#include "core/shown_key.h"

namespace ai_limit {

namespace {

void log_refusal(ngx_http_request_t* r, const Report& report) {
    ngx_uint_t level = loc_conf(r)->log_level;
    if (r->connection->log->log_level < level) {
        return;
    }
    const Description& said = report.spokesman();
    char buffer[kMaxShownKey + 64];
    TextWriter key(buffer, kMaxShownKey);
    write_shown_key(view(report.part->key), key);
    TextWriter wait(buffer + kMaxShownKey, 64);
    if (said.wait == kNever) {
        wait.text("never");
    } else {
        wait.whole_seconds(told_wait(said));
        wait.text("s");
    }
    ngx_str_t policy = to_ngx(said.policy);
    ngx_str_t key_text = to_ngx(key.view());
    ngx_str_t wait_text = to_ngx(wait.view());
    ngx_log_error(level, r->connection->log, 0,
                  "limiting requests, policy: \"%V\", key: \"%V\", retry after: %V%s", &policy,
                  &key_text, &wait_text, report.dry_run ? ", dry run" : "");
}

/** Whether error_page is to make the answer, as ngx_http_special_response_handler() will find out.
 */
bool has_error_page(ngx_http_request_t* r, ngx_uint_t status) {
    ngx_http_core_loc_conf_t* core = static_cast<ngx_http_core_loc_conf_t*>(
        ngx_http_get_module_loc_conf(r, ngx_http_core_module));
    if (r->error_page || core->error_pages == nullptr || r->uri_changes == 0) {
        return false;
    }
    ngx_http_err_page_t* pages = static_cast<ngx_http_err_page_t*>(core->error_pages->elts);
    for (ngx_uint_t i = 0; i < core->error_pages->nelts; ++i) {
        if (pages[i].status == static_cast<ngx_int_t>(status)) {
            return true;
        }
    }
    return false;
}

/** Statuses with which nginx ends the connection without an answer. */
bool closes_connection(ngx_uint_t status) {
    return status == NGX_HTTP_CLOSE || status == NGX_HTTP_CLIENT_CLOSED_REQUEST ||
           status == NGX_HTTP_REQUEST_TIME_OUT;
}

/** The value of $request_id, which the access log may hold as well. */
std::string_view request_id(ngx_http_request_t* r) {
    static constexpr std::string_view kName = "request_id";
    ngx_str_t name = to_ngx(kName);
    ngx_http_variable_value_t* value =
        ngx_http_get_variable(r, &name, ngx_hash_key(name.data, name.len));
    if (value == nullptr || value->not_found || value->len > kMaxErrorText) {
        return {};
    }
    return {reinterpret_cast<char*>(value->data), value->len};
}

ngx_int_t send_body(ngx_http_request_t* r, ErrorFormat format, ngx_uint_t status,
                    const Description& reported) {
    char* buffer = static_cast<char*>(ngx_pnalloc(r->pool, kMaxErrorBody));
    if (buffer == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    TextWriter body(buffer, kMaxErrorBody);
    if (!write_error_body(format, reported, static_cast<unsigned>(status), request_id(r), body)) {
        return static_cast<ngx_int_t>(status);
    }
    ngx_str_t type = to_ngx(error_content_type(format));
    ngx_http_complex_value_t value{};
    value.value = to_ngx(body.view());
    // A client that waits for 100-continue shall not send its body for a refusal.
    r->expect_tested = 1;
    r->headers_out.status_line.len = 0;
    r->err_status = 0;  // of an error that error_page has led here from
    return ngx_http_send_response(r, status, &type, &value);
}

}  // namespace

ngx_int_t refuse(ngx_http_request_t* r, RequestContext* context) {
    Report report;
    if (!make_report(context, false, &report)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    log_refusal(r, report);
    ngx_uint_t status = context->refusal_status;
    ErrorFormat format = static_cast<ErrorFormat>(loc_conf(r)->error_format);
    if (format == ErrorFormat::kOff || closes_connection(status) || has_error_page(r, status)) {
        return static_cast<ngx_int_t>(status);
    }
    ngx_http_finalize_request(r, send_body(r, format, status, report.spokesman()));
    return NGX_DONE;
}

void log_dry_run(ngx_http_request_t* r, RequestContext* context) {
    Report report;
    if (make_report(context, true, &report) && report.dry_run) {
        log_refusal(r, report);
    }
}

}  // namespace ai_limit
