#pragma once

// The prices that a request is charged by, of its model in ai_limit_prices.

#include "core/prices/price_table.h"
#include "nginx/request/token_context.h"

namespace ai_limit {

/** True if the request may make a model work, is to be refused without a price, and its model has
 * none. Its body must have been read. Only for configurations with ai_limit_prices. */
bool lacks_price(ngx_http_request_t* r, TokenContext* tokens);

/**
 * Returns the prices of one token of each kind, in billionths of a millionth of a dollar. They are
 * those of the model that the request names, and once the answer has ended, of the one that the
 * answer names. Without a price, what `unknown=` says. They belong to the configuration. Only for
 * configurations with ai_limit_prices.
 */
const TokenWeights& request_prices(ngx_http_request_t* r, TokenContext* tokens);

/** Returns the model that the request certainly names: upstream reads an unreadable body in its own
 * way. Empty if there is none. */
std::string_view certain_model(const RequestInfo& info);

/**
 * Takes the prices and the model's name by the answer, of which `used` is known: its model, its
 * service tier and the size of its prompt. If that model has none, those of the request's model, or
 * `stored`, of the request that made an answer which is fetched again, unless it is nullptr. If
 * there are none, the cost that the answer names counts. If it names none, and policies in money
 * charge nothing for what was used, counts that in the zone of the first.
 */
void price_answer(ngx_http_request_t* r, TokenContext* tokens, const ModelPrices* stored);

}  // namespace ai_limit
