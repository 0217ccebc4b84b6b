#pragma once

// How much output fits into what a policy has left.

#include "core/counts/token_weights.h"

namespace ai_limit {

/** Returns the weight of the kind of output that weighs most: reasoning may weigh more than text.
 */
uint64_t heaviest_output(const TokenWeights& weights);

/**
 * Returns the most tokens of output that cost no more than `left`, whatever kind of output they
 * are: reasoning may weigh more than text. kMaxAmount if output costs nothing.
 */
Amount output_room(Amount left, const TokenWeights& weights);

/** Returns the most that so many tokens of output can cost. */
Amount output_cost(Amount tokens, const TokenWeights& weights);

}  // namespace ai_limit
