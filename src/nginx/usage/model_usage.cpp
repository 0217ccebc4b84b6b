#include "nginx/usage/model_usage.h"

#include "core/observe/models.h"
#include "nginx/request/request_body.h"
#include "nginx/values/request_price.h"

namespace ai_limit {

namespace {

/**
 * Returns the model that the answer is charged for. Without a price, that is the one that the
 * answer names, or else the request. If no answer was seen, the request may name anything.
 */
NamedModel model_of(ngx_http_request_t* r, const TokenContext& tokens) {
    if (!tokens.priced_model.empty()) {
        return {tokens.priced_model, true};
    }
    const UsageReader* reader = tokens.reader;
    if (reader != nullptr && !reader->model().empty()) {
        return {reader->model(), true};
    }
    const RequestInfo* info = read_request_info(r);
    return {info != nullptr ? certain_model(*info) : std::string_view(), reader != nullptr};
}

bool is_used(const TokenCounts& used) {
    return (used.input | used.output) != 0 ||
           (used.images | used.searches | used.seconds | used.cost) != 0;
}

}  // namespace

void ModelUsage::count(ngx_http_request_t* r, const TokenContext& tokens, Millis wall) const {
    if (!is_used(tokens.used)) {
        return;
    }
    Amount cost = cost_;
    if (cost == 0 && tokens.prices != nullptr) {
        cost = weigh(tokens.used, *tokens.prices);
    }
    count_model(*zone_, model_of(r, tokens), tokens.used, cost,
                day_of(wall, main_conf(r)->day_zone));
}

}  // namespace ai_limit
