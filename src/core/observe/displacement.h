#pragma once

#include "core/words/types.h"

namespace ai_limit {

/**
 * Draws whether a newcomer displaces the one that was counted least: with the probability
 * amount / (least + amount). Random Admission Policy, Ben Basat et al., "Randomized Admission
 * Policy for Efficient Top-k and Frequency Estimation" (INFOCOM 2017). Those that are seen once,
 * however many, so displace nobody that stands out.
 */
bool displaces(uint64_t amount, uint64_t least);

}  // namespace ai_limit
