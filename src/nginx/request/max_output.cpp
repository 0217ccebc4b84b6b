#include "nginx/request/max_output.h"

#include <new>

#include "nginx/body/edited_body.h"
#include "nginx/request/usage_request.h"

namespace ai_limit {

namespace {

constexpr Amount kEndless = UINT64_MAX;

Amount times(Amount a, Amount b) {
    return a <= kMaxAmount / b ? a * b : kMaxAmount;
}

/** The info counts by what the body will say. */
void tell_info(TokenContext* tokens) {
    const Amount most = most_output(*tokens);
    if (most != kEndless) {
        tokens->info.set_most_output(most);
    }
}

bool is_known(const TokenContext& tokens) {
    return tokens.output != nullptr && tokens.output->conf != nullptr && tokens.info_is_whole &&
           !tokens.info.unreadable();
}

}  // namespace

OutputLimits* read_output_limits(ngx_http_request_t* r, const MaxOutputConf& conf,
                                 TokenContext* tokens) {
    void* memory = ngx_palloc(r->pool, sizeof(RequestOutput));
    if (memory == nullptr) {
        return nullptr;
    }
    RequestOutput* output = new (memory) RequestOutput(conf, view(r->uri));
    if (tokens->output != nullptr) {
        output->each = tokens->output->admitted_each;
        output->admitted_each = output->each;
    }
    tokens->output = output;
    return &output->limits;
}

void end_output_limits(TokenContext* tokens) {
    RequestOutput* output = tokens->output;
    output->limits.finish();
    output->answers = times(output->limits.prompts(), tokens->info.answers());
    if (is_known(*tokens)) {
        tell_info(tokens);
    }
}

Amount most_output(const TokenContext& tokens) {
    Amount each = kEndless;
    const RequestOutput* output = tokens.output;
    const bool limited =
        output != nullptr &&
        output->limits.most_output(output->each != 0 ? output->each : kEndless, &each);
    return limited ? times(each, output->answers) : kEndless;
}

bool limit_output(TokenContext* tokens, Amount most) {
    if (!is_known(*tokens)) {
        return true;  // a body that cannot be read
    }
    RequestOutput* output = tokens->output;
    const Amount each = ngx_max(most / output->answers, 1);
    if (!output->limits.must_edit(each)) {
        return true;
    }
    if (!output->limits.why_fixed().empty()) {
        return false;
    }
    if (output->each == 0 || each < output->each) {
        output->each = each;
        tell_info(tokens);
    }
    return true;
}

void keep_output_limit(TokenContext* tokens) {
    if (tokens->output != nullptr) {
        tokens->output->admitted_each = tokens->output->each;
    }
}

void drop_output_limit(TokenContext* tokens) {
    if (tokens->output != nullptr) {
        tokens->output->each = tokens->output->admitted_each;
        tokens->output->conf = nullptr;  // the body is read again, also for the request's info
    }
}

ngx_int_t change_body(ngx_http_request_t* r, TokenContext* tokens, bool asks) {
    OutputEdits edits;
    RequestOutput* output = tokens->output;
    const bool limits = output != nullptr && output->each != 0 && is_known(*tokens) &&
                        r->request_body != nullptr && output->limits.must_edit(output->each);
    if (limits && !output->limits.edit(output->each, &edits)) {
        return NGX_ERROR;
    }
    const bool usage = asks && add_usage_edit(r, *tokens, &edits.edits);
    if (edits.edits.is_empty()) {
        return NGX_OK;
    }
    if (edit_body(r, edits.edits) != NGX_OK || (usage && expect_usage(r, tokens) != NGX_OK)) {
        return NGX_ERROR;
    }
    if (output != nullptr) {
        output->conf = nullptr;  // the places are those of the body before
    }
    return NGX_OK;
}

}  // namespace ai_limit
