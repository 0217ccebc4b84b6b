#include "nginx/answer/refusal.h"

#include "core/limits/slot_wait.h"
#include "core/words/shown_key.h"
#include "nginx/answer/client_dialect.h"
#include "nginx/decision/report.h"
#include "nginx/request/request_body.h"

namespace ai_limit {

namespace {

/**
 * Notes in the copies of the states how long a request that found no slot is likely to wait: once,
 * so that the log, the headers and the body say the same.
 */
void predict_slots(Decision* one) {
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        Charge* charge = &one->charges[i].use;
        if (charge->verdict != Verdict::kRefused ||
            charge->limit->algorithm != Algorithm::kConcurrency) {
            continue;
        }
        const PolicyRecord* record = charge->access->journal.zone().policy(charge->policy);
        charge->state.concurrency.likely_wait = static_cast<uint64_t>(
            likely_slot_wait(record->slot_duration, used(*charge->limit, charge->state),
                             charge->limit->capacity, static_cast<uint32_t>(ngx_random())));
    }
}

constexpr std::string_view kNoPrice =
    "There is no price for this model, and the limit is in money.";
constexpr std::string_view kNoModel =
    "This request names no model, so it has no price, and the limit is in money.";

/** Returns the model that a request without a price names; empty if it names none. */
std::string_view unpriced_model(ngx_http_request_t* r) {
    const RequestInfo* info = read_request_info(r);
    return info != nullptr ? info->model() : std::string_view();
}

constexpr size_t kMaxReason = kMaxShownKey + 32;

/** Writes why no wait helps, with what of a model's name a log may show. */
void write_reason(ngx_http_request_t* r, const Description& said, TextWriter& out) {
    if (!said.unpriced) {
        out.text(kind_of(said) == ErrorKind::kBlocked ? ", blocked" : "");
        return;
    }
    const std::string_view model = unpriced_model(r);
    if (model.empty()) {
        out.text(", no price without a model");
        return;
    }
    out.text(", no price for model \"");
    write_escaped(model, out);
    out.text("\"");
}

void log_refusal(ngx_http_request_t* r, const Report& report) {
    ngx_uint_t level = loc_conf(r)->log_level;
    if (r->connection->log->log_level < level) {
        return;
    }
    const Description& said = report.spokesman();
    char buffer[kMaxNamedKey + 64 + kMaxReason];
    TextWriter key(buffer, kMaxNamedKey);
    write_named_key(*report.part, key);
    TextWriter wait(buffer + kMaxNamedKey, 64);
    if (said.wait == kNever) {
        wait.text("never");
    } else {
        wait.whole_seconds(stated_wait(said));
        wait.text("s");
    }
    TextWriter reason(buffer + kMaxNamedKey + 64, kMaxReason);
    write_reason(r, said, reason);
    ngx_str_t policy = to_ngx(said.policy);
    ngx_str_t key_text = to_ngx(key.view());
    ngx_str_t wait_text = to_ngx(wait.view());
    ngx_str_t reason_text = to_ngx(reason.view());
    ngx_log_error(level, r->connection->log, 0,
                  "limiting requests, policy: \"%V\", key: %V, retry after: %V%V%s", &policy,
                  &key_text, &wait_text, &reason_text, report.dry_run ? ", dry run" : "");
}

/** True if error_page is to make the answer, as ngx_http_special_response_handler() will find out.
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

/** Returns the value of $request_id, which the access log may show as well. */
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

constexpr ResponseHeaderName kAmazonErrorType = {"x-amzn-errortype", "x-amzn-errortype"};

/** An error as its body describes it: a policy's refusal, or a sentence. */
struct ErrorAnswer {
    ngx_uint_t status;
    ErrorKind kind;
    const Description* refused;  // nullptr: the sentence says all
    std::string_view sentence;
};

bool write_body(ngx_http_request_t* r, ErrorFormat format, const ErrorAnswer& error,
                TextWriter& body) {
    unsigned status = static_cast<unsigned>(error.status);
    return error.refused != nullptr
               ? write_error_body(format, *error.refused, status, request_id(r), body)
               : write_error_body(format, error.kind, error.sentence, status, request_id(r), body);
}

ngx_int_t send_body(ngx_http_request_t* r, ErrorFormat format, const ErrorAnswer& error) {
    char* buffer = static_cast<char*>(ngx_pnalloc(r->pool, kMaxErrorBody));
    if (buffer == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    TextWriter body(buffer, kMaxErrorBody);
    if (!write_body(r, format, error, body)) {
        return static_cast<ngx_int_t>(error.status);
    }
    std::string_view amazon_type = error_type_header(format, error.kind);
    if (!amazon_type.empty() && !add_header(r, kAmazonErrorType, amazon_type)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_str_t type = to_ngx(error_content_type(format));
    ngx_http_complex_value_t value{};
    value.value = to_ngx(body.view());
    // A client that waits for 100-continue must not send its body for a refusal.
    r->expect_tested = 1;
    r->headers_out.status_line.len = 0;
    r->err_status = 0;  // of an error that error_page has led here from
    return ngx_http_send_response(r, error.status, &type, &value);
}

ErrorFormat error_format(ngx_http_request_t* r) {
    ErrorFormat format = static_cast<ErrorFormat>(loc_conf(r)->error_format);
    return format == ErrorFormat::kAuto ? format_of(client_dialect(r)) : format;
}

/** True if the request was refused before in the same way, and error_page has led it here. */
bool is_refused_again(ngx_http_request_t* r) {
    const RequestContext* context = find_context(r);
    const Decision* one = context != nullptr ? context->latest : nullptr;
    return one != nullptr && one->earlier != nullptr && is_refused_unasked(*one) &&
           is_refused_unasked(*one->earlier) && is_unpriced(*one) == is_unpriced(*one->earlier);
}

ngx_int_t answer(ngx_http_request_t* r, const ErrorAnswer& error) {
    if (is_refused_again(r)) {
        r->error_page = 1;  // which could lead here again, with recursive_error_pages
    }
    ErrorFormat format = error_format(r);
    if (format == ErrorFormat::kOff || closes_connection(error.status) ||
        has_error_page(r, error.status)) {
        return static_cast<ngx_int_t>(error.status);
    }
    ngx_http_finalize_request(r, send_body(r, format, error));
    return NGX_DONE;
}

ngx_uint_t status_of(const LocConf& conf, ErrorKind kind) {
    switch (kind) {
        case ErrorKind::kTooLarge:
            return conf.never_status;
        case ErrorKind::kBlocked:
            return conf.blocked_status;
        case ErrorKind::kUnavailable:
            return NGX_HTTP_SERVICE_UNAVAILABLE;
        case ErrorKind::kWait:
        case ErrorKind::kExhausted:
        case ErrorKind::kInvalid:
        case ErrorKind::kUpgradeRequired:
            break;
    }
    return conf.status;
}

}  // namespace

ngx_int_t refuse(ngx_http_request_t* r, RequestContext* context) {
    predict_slots(context->latest);
    Report report;
    if (!make_report(context->latest, false, &report)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    log_refusal(r, report);
    ErrorKind kind = kind_of(report.spokesman());
    context->refusal_status = static_cast<uint32_t>(status_of(*loc_conf(r), kind));
    context->refusal_uri_changes = r->uri_changes & 0xf;
    if (report.spokesman().unpriced) {
        const std::string_view why = unpriced_model(r).empty() ? kNoModel : kNoPrice;
        return answer(r, {context->refusal_status, kind, nullptr, why});
    }
    return answer(r, {context->refusal_status, kind, &report.spokesman(), {}});
}

ngx_int_t answer_error(ngx_http_request_t* r, ngx_uint_t status, std::string_view sentence) {
    ErrorKind kind = kind_of_status(static_cast<unsigned>(status));
    return answer(r, {status, kind, nullptr, sentence});
}

bool add_header(ngx_http_request_t* r, const ResponseHeaderName& name, std::string_view value) {
    ngx_table_elt_t* header = static_cast<ngx_table_elt_t*>(ngx_list_push(&r->headers_out.headers));
    if (header == nullptr) {
        return false;
    }
    header->hash = 1;
    header->key = to_ngx(name.name);
    header->lowcase_key = to_ngx(name.lowercase).data;
    header->value = to_ngx(value);
    unlink_header(header);
    return true;
}

ngx_int_t refuse_uncounted(ngx_http_request_t* r, ngx_uint_t status, const char* what,
                           std::string_view why) {
    ngx_str_t reason = to_ngx(why.substr(0, why.size() - 1));  // without its period
    ngx_log_error(loc_conf(r)->log_level, r->connection->log, 0, "refusing a request %s: %V", what,
                  &reason);
    return answer_error(r, status, why);
}

void log_dry_run(ngx_http_request_t* r, RequestContext* context) {
    predict_slots(context->latest);
    Report report;
    if (make_report(context->latest, true, &report) && report.dry_run) {
        log_refusal(r, report);
    }
}

}  // namespace ai_limit
