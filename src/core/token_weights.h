#pragma once

// What a policy counts as one token: `count=`.

#include <cstdint>
#include <string_view>

#include "core/token_counts.h"
#include "core/types.h"

namespace ai_limit {

/** A weight of 1. */
constexpr uint64_t kWholeWeight = 1'000'000'000;

/** No weight is above a million. */
constexpr uint64_t kMaxWeight = 1'000'000 * kWholeWeight;

/** How much one token of each kind counts, in billionths. */
struct TokenWeights {
    uint64_t input = kWholeWeight;
    uint64_t output = kWholeWeight;
    uint64_t cached_input = kWholeWeight;
};

/**
 * Reads `total` (each token counts one), `input`, `output`, or weights by name, in any order:
 * `input:1,output:4,cached_input:0.1`. At most 9 decimals. A kind that is not named counts nothing,
 * but cached input, which then counts as input.
 * Returns nullptr, or a static text that says what is wrong; `weights` is then untouched.
 */
const char* parse_token_weights(std::string_view text, TokenWeights* weights);

/**
 * What these tokens count, rounded up once, over the sum. At most kMaxAmount. Of cached input, no
 * more is believed than there is input.
 */
Amount weigh(const TokenCounts& counts, const TokenWeights& weights);

}  // namespace ai_limit
