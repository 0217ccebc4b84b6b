#pragma once

// The price of an answer that is fetched again by its id: the request names no model then, so the
// one that made the answer says which price it has, unless the answer's own model has one.

#include "nginx/request/token_context.h"

namespace ai_limit {

struct ModelPrices;  // core/prices/price_table.h

/** Notes the price of the request's model for an answer that the server keeps, that has not
 * reported all of its usage, and whose own model has no price. Only for configurations with
 * ai_limit_prices.
 */
void note_stored_price(ngx_http_request_t* r, const TokenContext& tokens);

/** Returns the price that was noted for the answer that the request fetches; nullptr if there is
 * none. It belongs to the configuration. Only for configurations with ai_limit_prices. */
const ModelPrices* find_stored_price(ngx_http_request_t* r, const TokenContext& tokens);

}  // namespace ai_limit
