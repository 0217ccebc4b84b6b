#include "nginx/answer/variables.h"

#include "core/words/amount_text.h"
#include "nginx/decision/report.h"
#include "nginx/request/client_identity.h"
#include "nginx/request/max_output.h"
#include "nginx/request/request_body.h"
#include "nginx/turns/turns.h"

namespace ai_limit {

namespace {

constexpr std::string_view kRemainingPrefix = "ai_limit_remaining_";

void set_value(ngx_http_variable_value_t* v, std::string_view text) {
    v->len = static_cast<unsigned>(text.size()) & 0xfffffff;
    v->data = to_ngx(text).data;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
}

ngx_int_t set_number(ngx_http_request_t* r, ngx_http_variable_value_t* v, uint64_t number) {
    char* space = static_cast<char*>(ngx_pnalloc(r->pool, NGX_INT64_LEN));
    if (space == nullptr) {
        return NGX_ERROR;
    }
    TextWriter text(space, NGX_INT64_LEN);
    text.number(number);
    set_value(v, text.view());
    return NGX_OK;
}

/** An amount of what a policy counts. */
ngx_int_t set_amount(ngx_http_request_t* r, ngx_http_variable_value_t* v, Measure measure,
                     Amount amount) {
    char* space = static_cast<char*>(ngx_pnalloc(r->pool, kMaxAmountText));
    if (space == nullptr) {
        return NGX_ERROR;
    }
    TextWriter text(space, kMaxAmountText);
    write_amount(measure, amount, text);
    set_value(v, text.view());
    return NGX_OK;
}

/** Returns false, and the variable as not found, if nothing was limited. */
bool report_for(ngx_http_request_t* r, ngx_http_variable_value_t* v, Report* report) {
    RequestContext* context = find_context(r);
    if (context != nullptr && make_report(context->latest, true, report)) {
        return true;
    }
    v->not_found = 1;
    return false;
}

ngx_int_t status_variable(ngx_http_request_t* r, ngx_http_variable_value_t* v, uintptr_t) noexcept {
    Report report;
    RequestContext* context = find_context(r);
    if (context != nullptr && is_refused_undecided(*context)) {
        set_value(v, "REJECTED");
    } else if (report_for(r, v, &report)) {
        set_value(v, report.refused ? "REJECTED" : report.dry_run ? "REJECTED_DRY_RUN" : "PASSED");
    }
    return NGX_OK;
}

/** Seconds with milliseconds, as $request_time has them. */
ngx_int_t wait_time_variable(ngx_http_request_t* r, ngx_http_variable_value_t* v,
                             uintptr_t) noexcept {
    const RequestContext* context = find_context(r);
    const Millis waited = context != nullptr ? waited_for_turn(*context) : 0;
    // Other variables may have made the context of a request that no policy limits.
    if (context == nullptr || (context->latest == nullptr && waited == 0)) {
        v->not_found = 1;
        return NGX_OK;
    }
    u_char* space = static_cast<u_char*>(ngx_pnalloc(r->pool, NGX_TIME_T_LEN + 4));
    if (space == nullptr) {
        return NGX_ERROR;
    }
    constexpr Millis kSecond = 1000;
    u_char* end = ngx_sprintf(space, "%T.%03M", static_cast<time_t>(waited / kSecond),
                              static_cast<ngx_msec_t>(waited % kSecond));
    set_value(v, {reinterpret_cast<char*>(space), static_cast<size_t>(end - space)});
    return NGX_OK;
}

ngx_int_t policy_variable(ngx_http_request_t* r, ngx_http_variable_value_t* v, uintptr_t) noexcept {
    Report report;
    if (report_for(r, v, &report)) {
        set_value(v, report.spokesman().policy);
    }
    return NGX_OK;
}

enum Figure : uintptr_t { kLimit, kRemaining, kReset, kRetryAfter };

ngx_int_t figure_variable(ngx_http_request_t* r, ngx_http_variable_value_t* v,
                          uintptr_t figure) noexcept {
    Report report;
    if (!report_for(r, v, &report)) {
        return NGX_OK;
    }
    const Description& said = report.spokesman();
    switch (figure) {
        case kLimit:
            return set_amount(r, v, said.measure, said.limit);
        case kRemaining:
            return set_amount(r, v, said.measure, said.remaining);
        case kReset:
            return set_number(r, v, seconds_rounded_up(said.reset));
        default:
            break;
    }
    if (!said.refused || said.wait == kNever) {
        v->not_found = 1;
        return NGX_OK;
    }
    return set_number(r, v, seconds_rounded_up(stated_wait(said)));
}

/** $ai_limit_remaining_NAME; nginx hands over its full name. */
ngx_int_t remaining_of_policy_variable(ngx_http_request_t* r, ngx_http_variable_value_t* v,
                                       uintptr_t data) noexcept {
    std::string_view name = view(*reinterpret_cast<ngx_str_t*>(data));
    const PolicyConf* policy = find_policy(main_conf(r), name.substr(kRemainingPrefix.size()));
    RequestContext* context = find_context(r);
    Description said;
    if (policy == nullptr || context == nullptr ||
        !describe_policy(context->latest, policy, &said)) {
        v->not_found = 1;
        return NGX_OK;
    }
    return set_amount(r, v, said.measure, said.remaining);
}

bool is_control(char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

/** A client may put anything into it, but no line end into a header that is made of it. */
ngx_int_t set_without_controls(ngx_http_request_t* r, ngx_http_variable_value_t* v,
                               std::string_view text) {
    size_t controls = 0;
    for (char c : text) {
        controls += is_control(c) ? 1 : 0;
    }
    u_char* space = static_cast<u_char*>(ngx_pnalloc(r->pool, text.size() + 2 * controls));
    if (space == nullptr) {
        return NGX_ERROR;
    }
    u_char* end = space;
    for (char c : text) {
        if (is_control(c)) {
            end = ngx_sprintf(end, "%%%02Xd", static_cast<int>(static_cast<unsigned char>(c)));
        } else {
            *end++ = static_cast<u_char>(c);
        }
    }
    set_value(v, {reinterpret_cast<char*>(space), static_cast<size_t>(end - space)});
    return NGX_OK;
}

ngx_int_t model_variable(ngx_http_request_t* r, ngx_http_variable_value_t* v, uintptr_t) noexcept {
    const RequestInfo* info = read_request_info(r);
    if (info == nullptr) {
        return NGX_ERROR;
    }
    if (info->model().empty()) {
        v->not_found = 1;
        return NGX_OK;
    }
    return set_without_controls(r, v, info->model());
}

/** The model that the answer names. Not found before it has done so. */
ngx_int_t response_model_variable(ngx_http_request_t* r, ngx_http_variable_value_t* v,
                                  uintptr_t) noexcept {
    const TokenContext* tokens = find_token_context(r);
    if (tokens == nullptr || tokens->reader == nullptr || tokens->reader->model().empty()) {
        v->not_found = 1;
        return NGX_OK;
    }
    return set_without_controls(r, v, tokens->reader->model());
}

/** Returns the answer's service tier if it names one, otherwise the request's. */
ngx_int_t service_tier_variable(ngx_http_request_t* r, ngx_http_variable_value_t* v,
                                uintptr_t) noexcept {
    const RequestInfo* info = read_request_info(r);
    if (info == nullptr) {
        return NGX_ERROR;
    }
    const TokenContext* tokens = find_token_context(r);
    std::string_view tier;
    if (tokens != nullptr && tokens->reader != nullptr) {
        tier = tokens->reader->service_tier();
    }
    tier = tier.empty() ? info->service_tier() : tier;
    if (tier.empty()) {
        v->not_found = 1;
        return NGX_OK;
    }
    return set_without_controls(r, v, tier);
}

ngx_int_t stream_variable(ngx_http_request_t* r, ngx_http_variable_value_t* v, uintptr_t) noexcept {
    const RequestInfo* info = read_request_info(r);
    if (info == nullptr) {
        return NGX_ERROR;
    }
    set_value(v, info->streams() ? "1" : "0");
    return NGX_OK;
}

enum UsedTokens : uintptr_t { kInput, kOutput, kCached, kCacheWrite, kReasoning, kTotal };

Amount used_tokens(const TokenCounts& used, uintptr_t which) {
    switch (which) {
        case kInput:
            return used.input;
        case kOutput:
            return used.output;
        case kCached:
            return used.cached_input;
        case kCacheWrite:
            return used.cache_write + used.cache_write_1h;
        case kReasoning:
            return used.reasoning;
        default:
            return used.input + used.output;
    }
}

/** Not found before the answer has ended, and if nobody watched it. */
ngx_int_t used_tokens_variable(ngx_http_request_t* r, ngx_http_variable_value_t* v,
                               uintptr_t which) noexcept {
    const TokenContext* tokens = find_token_context(r);
    if (tokens == nullptr || tokens->basis == UsageBasis::kUnknown) {
        v->not_found = 1;
        return NGX_OK;
    }
    return set_number(r, v, used_tokens(tokens->used, which));
}

/** Shows the cost of the request in dollars. Not found before the answer has ended, and without
 * prices. */
ngx_int_t cost_variable(ngx_http_request_t* r, ngx_http_variable_value_t* v, uintptr_t) noexcept {
    const TokenContext* tokens = find_token_context(r);
    if (tokens == nullptr || tokens->basis == UsageBasis::kUnknown || tokens->prices == nullptr) {
        v->not_found = 1;
        return NGX_OK;
    }
    return set_amount(r, v, Measure::kMoney, weigh(tokens->used, *tokens->prices));
}

/** Empty where the client's own limit of output stands. */
ngx_int_t max_output_variable(ngx_http_request_t* r, ngx_http_variable_value_t* v,
                              uintptr_t) noexcept {
    const TokenContext* tokens = find_token_context(r->main);
    if (tokens == nullptr || tokens->output == nullptr || tokens->output->each == 0) {
        v->not_found = 1;
        return NGX_OK;
    }
    return set_number(r, v, tokens->output->each);
}

ngx_int_t reserved_tokens_variable(ngx_http_request_t* r, ngx_http_variable_value_t* v,
                                   uintptr_t) noexcept {
    const TokenContext* tokens = find_token_context(r);
    if (tokens == nullptr) {
        v->not_found = 1;
        return NGX_OK;
    }
    return set_number(r, v, tokens->reserved);
}

ngx_int_t usage_source_variable(ngx_http_request_t* r, ngx_http_variable_value_t* v,
                                uintptr_t) noexcept {
    const TokenContext* tokens = find_token_context(r);
    switch (tokens != nullptr ? tokens->basis : UsageBasis::kUnknown) {
        case UsageBasis::kUnknown:
            v->not_found = 1;
            break;
        case UsageBasis::kNone:
            set_value(v, "none");
            break;
        case UsageBasis::kEstimate:
            set_value(v, "estimate");
            break;
        case UsageBasis::kResponse:
            set_value(v, "response");
            break;
    }
    return NGX_OK;
}

ngx_int_t address_variable(ngx_http_request_t* r, ngx_http_variable_value_t* v,
                           uintptr_t) noexcept {
    u_char* space = static_cast<u_char*>(ngx_pnalloc(r->pool, kMaxAddressText));
    if (space == nullptr) {
        return NGX_ERROR;
    }
    size_t length = write_client_address(r, space);
    set_value(v, {reinterpret_cast<char*>(space), length});
    return NGX_OK;
}

ngx_int_t client_variable(ngx_http_request_t* r, ngx_http_variable_value_t* v, uintptr_t) noexcept {
    static constexpr size_t kSpace = ngx_max(kKeyIdentityLength, kMaxAddressText + 3);
    u_char* space = static_cast<u_char*>(ngx_pnalloc(r->pool, kSpace));
    if (space == nullptr) {
        return NGX_ERROR;
    }
    std::string_view key;
    if (read_api_key(r, &key) != NGX_OK) {
        return NGX_ERROR;
    }
    if (!key.empty()) {
        if (!write_key_identity(key, space)) {
            return NGX_ERROR;
        }
        set_value(v, {reinterpret_cast<char*>(space), kKeyIdentityLength});
        return NGX_OK;
    }
    ngx_memcpy(space, "ip:", 3);
    size_t length = write_client_address(r, space + 3);
    set_value(v, {reinterpret_cast<char*>(space), length + 3});
    return NGX_OK;
}

constexpr ngx_uint_t kVolatile = NGX_HTTP_VAR_NOCACHEABLE;

ngx_http_variable_t variables[] = {
    {ngx_string("ai_limit_client"), nullptr, client_variable, 0, kVolatile, 0},
    {ngx_string("ai_limit_addr"), nullptr, address_variable, 0, kVolatile, 0},
    {ngx_string("ai_limit_status"), nullptr, status_variable, 0, kVolatile, 0},
    {ngx_string("ai_limit_policy"), nullptr, policy_variable, 0, kVolatile, 0},
    {ngx_string("ai_limit_limit"), nullptr, figure_variable, kLimit, kVolatile, 0},
    {ngx_string("ai_limit_remaining"), nullptr, figure_variable, kRemaining, kVolatile, 0},
    {ngx_string("ai_limit_reset"), nullptr, figure_variable, kReset, kVolatile, 0},
    {ngx_string("ai_limit_retry_after"), nullptr, figure_variable, kRetryAfter, kVolatile, 0},
    {ngx_string("ai_limit_wait_time"), nullptr, wait_time_variable, 0, kVolatile, 0},
    {ngx_string("ai_limit_model"), nullptr, model_variable, 0, kVolatile, 0},
    {ngx_string("ai_limit_stream"), nullptr, stream_variable, 0, kVolatile, 0},
    {ngx_string("ai_limit_input_tokens"), nullptr, used_tokens_variable, kInput, kVolatile, 0},
    {ngx_string("ai_limit_output_tokens"), nullptr, used_tokens_variable, kOutput, kVolatile, 0},
    {ngx_string("ai_limit_cached_tokens"), nullptr, used_tokens_variable, kCached, kVolatile, 0},
    {ngx_string("ai_limit_cache_write_tokens"), nullptr, used_tokens_variable, kCacheWrite,
     kVolatile, 0},
    {ngx_string("ai_limit_reasoning_tokens"), nullptr, used_tokens_variable, kReasoning, kVolatile,
     0},
    {ngx_string("ai_limit_response_model"), nullptr, response_model_variable, 0, kVolatile, 0},
    {ngx_string("ai_limit_service_tier"), nullptr, service_tier_variable, 0, kVolatile, 0},
    {ngx_string("ai_limit_total_tokens"), nullptr, used_tokens_variable, kTotal, kVolatile, 0},
    {ngx_string("ai_limit_cost"), nullptr, cost_variable, 0, kVolatile, 0},
    {ngx_string("ai_limit_max_output"), nullptr, max_output_variable, 0, kVolatile, 0},
    {ngx_string("ai_limit_reserved_tokens"), nullptr, reserved_tokens_variable, 0, kVolatile, 0},
    {ngx_string("ai_limit_usage_source"), nullptr, usage_source_variable, 0, kVolatile, 0},
    {ngx_string("ai_limit_remaining_"), nullptr, remaining_of_policy_variable, 0,
     kVolatile | NGX_HTTP_VAR_PREFIX, 0},
};

}  // namespace

ngx_int_t add_variables(ngx_conf_t* cf) {
    for (ngx_http_variable_t& wanted : variables) {
        ngx_http_variable_t* variable = ngx_http_add_variable(cf, &wanted.name, wanted.flags);
        if (variable == nullptr) {
            return NGX_ERROR;
        }
        variable->get_handler = wanted.get_handler;
        variable->data = wanted.data;
    }
    return NGX_OK;
}

}  // namespace ai_limit
