#pragma once

// Makes the weights of a model from the prices that a file has for it.

#include <cstddef>

#include "core/prices/price_table.h"
#include "prices/price.h"

namespace ai_limit {

/** The prices that one file has for one model; each field once. */
struct PriceList {
    const Price* first;
    size_t size;

    const Price* begin() const { return first; }
    const Price* end() const { return first + size; }
};

/**
 * Finds the thresholds of long prompts, in thousands of tokens, ascending, each once. Returns their
 * number, or kMaxPriceThresholds + 1 if there are too many.
 */
size_t thresholds_of(const PriceList& prices, uint32_t thousands[kMaxPriceThresholds]);

/** True if a model has a price for this tier, so its weights may differ from those of others. */
bool has_tier(const PriceList& prices, PriceTier tier);

/**
 * Returns the weights for a tier and a prompt that has passed the threshold `above`, 0 for one that
 * has passed none.
 *
 * A kind has the price for this tier and this threshold. Without it, the price for the threshold
 * and that for the tier count: the larger one if there are both; then the standard price. For a
 * threshold, the next lower one counts as well. A kind that has no price for the standard tier, or
 * for short prompts, costs the most that it has a price for. A part of the input or of the output
 * that has no price at all costs what its whole does.
 */
TokenWeights weights_of(const PriceList& prices, PriceTier tier, uint32_t above);

}  // namespace ai_limit
