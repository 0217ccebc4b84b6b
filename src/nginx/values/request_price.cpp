#include "nginx/values/request_price.h"

#include "nginx/conf/config.h"
#include "nginx/conf/price_conf.h"
#include "nginx/decision/decision.h"
#include "nginx/request/request_body.h"

namespace ai_limit {

namespace {

/** Returns the weights of what is free, but for a cost that an answer names itself. */
constexpr TokenWeights nothing(uint64_t cost) {
    TokenWeights weights;
    weights.input = weights.output = 0;
    weights.cached_input = weights.cache_write = weights.cache_write_1h = 0;
    weights.audio_input = weights.reasoning = weights.audio_output = 0;
    weights.cost = cost;
    return weights;
}

constexpr TokenWeights kFree = nothing(0);
constexpr TokenWeights kNamedCost = nothing(kWholeWeight);

/** What a price depends on beside the model. */
struct Terms {
    std::string_view tier;
    Amount prompt;
};

/** Returns nullptr if the model has no price. */
const TokenWeights* find_prices(const PriceTable& table, std::string_view model,
                                const Terms& terms) {
    const ModelPrices* prices = model.empty() ? nullptr : table.find(model);
    return prices != nullptr ? &table.weights_of(*prices, tier_of(terms.tier), terms.prompt)
                             : nullptr;
}

const TokenWeights* unknown_prices(const PriceConf& conf) {
    return conf.unknown == UnknownPrice::kFixed ? &conf.fixed : &kFree;
}

bool is_used(const TokenCounts& used) {
    return used.input != 0 || used.output != 0 || used.images != 0 || used.searches != 0 ||
           used.seconds != 0;
}

/** Counts an answer without a price in the zone of the first policy in money. */
void count_unknown_price(const RequestContext* context) {
    const Decision* one = context != nullptr ? context->latest : nullptr;
    for (; one != nullptr; one = one->earlier) {
        for (ngx_uint_t i = 0; i < one->count; ++i) {
            const Charge& use = one->charges[i].use;
            if (is_to_be_settled(*one, one->charges[i]) && use.limit->measure == Measure::kMoney) {
                use.access->journal.zone().header()->unknown_prices.fetch_add(
                    1, std::memory_order_relaxed);
                return;
            }
        }
    }
}

/** Returns the tier that the request asks for if that is dear. A server may not know a cheaper one,
 * and charge as for any other request. */
std::string_view dear_tier(const RequestInfo& info) {
    const std::string_view tier = info.service_tier();
    return tier_of(tier) == PriceTier::kPriority ? tier : std::string_view();
}

/** Returns nullptr if the request's model has no price. */
const TokenWeights* find_prices_of_request(ngx_http_request_t* r) {
    const RequestInfo* info = read_request_info(r);
    return info != nullptr ? find_prices(main_conf(r)->prices->table, certain_model(*info),
                                         {dear_tier(*info), info->prompt_estimate()})
                           : nullptr;
}

/** True if the request may make a model work: it has a body, or its path names a model, such as
 * `…/models/NAME:generateContent`, and its method is one that brings a body. */
bool may_ask_a_model(ngx_http_request_t* r) {
    static constexpr ngx_uint_t kWithoutBody = NGX_HTTP_GET | NGX_HTTP_HEAD | NGX_HTTP_OPTIONS;
    if (has_request_body(r)) {
        return true;
    }
    const RequestInfo* info = read_request_info(r);
    return !(r->method & kWithoutBody) && info != nullptr && info->is_model_of_path();
}

}  // namespace

std::string_view certain_model(const RequestInfo& info) {
    return info.is_model_of_path() || !info.unreadable() ? info.model() : std::string_view();
}

bool lacks_price(ngx_http_request_t* r, TokenContext* tokens) {
    if (main_conf(r)->prices->unknown != UnknownPrice::kReject || !may_ask_a_model(r)) {
        return false;
    }
    const TokenWeights* prices = find_prices_of_request(r);
    tokens->prices = prices;
    return prices == nullptr;
}

const TokenWeights& request_prices(ngx_http_request_t* r, TokenContext* tokens) {
    if (tokens->prices == nullptr) {
        const TokenWeights* prices = find_prices_of_request(r);
        tokens->prices = prices != nullptr ? prices : unknown_prices(*main_conf(r)->prices);
    }
    return *tokens->prices;
}

void price_answer(ngx_http_request_t* r, TokenContext* tokens, const ModelPrices* stored) {
    const PriceConf& conf = *main_conf(r)->prices;
    const RequestInfo* info = read_request_info(r);
    const UsageReader* reader = tokens->reader;
    std::string_view tier = reader != nullptr ? reader->service_tier() : std::string_view();
    if (tier.empty() && info != nullptr) {
        tier = dear_tier(*info);
    }
    const Terms terms = {tier, tokens->used.input};
    std::string_view model = reader != nullptr ? reader->model() : std::string_view();
    const TokenWeights* prices = find_prices(conf.table, model, terms);
    if (prices == nullptr && info != nullptr) {
        model = certain_model(*info);
        prices = find_prices(conf.table, model, terms);
    }
    if (prices != nullptr) {
        tokens->priced_model = model;
    }
    if (prices == nullptr && stored != nullptr) {
        prices = &conf.table.weights_of(*stored, tier_of(terms.tier), terms.prompt);
    }
    if (prices == nullptr && tokens->used.cost != 0) {
        prices = &kNamedCost;
    }
    if (prices == nullptr && conf.unknown != UnknownPrice::kFixed && is_used(tokens->used)) {
        count_unknown_price(find_context(r));
    }
    tokens->prices = prices != nullptr ? prices : unknown_prices(conf);
}

}  // namespace ai_limit
