#pragma once

// The weights by which a policy counts tokens: `count=`.

#include <cstdint>
#include <string_view>

#include "core/counts/token_counts.h"
#include "core/words/types.h"

namespace ai_limit {

/** A weight of 1. */
constexpr uint64_t kWholeWeight = 1'000'000'000;

/** No weight of `count=` is above a million. A price can be: see kMaxPriceWeight. */
constexpr uint64_t kMaxWeight = 1'000'000 * kWholeWeight;

/** The weight of one token of each kind, in billionths. The kinds are those of TokenCounts. */
struct TokenWeights {
    uint64_t input = kWholeWeight;  // of what is none of the parts
    uint64_t output = kWholeWeight;
    uint64_t cached_input = kWholeWeight;
    uint64_t cache_write = kWholeWeight;
    uint64_t cache_write_1h = kWholeWeight;
    uint64_t audio_input = kWholeWeight;
    uint64_t reasoning = kWholeWeight;
    uint64_t audio_output = kWholeWeight;
    uint64_t images = 0;
    uint64_t searches = 0;
    uint64_t seconds = 0;
    uint64_t cost = 0;  // no `count=` has it (request_price.h)
};

/**
 * Reads `total` (each token counts one), or weights by name, in any order:
 * `input:1,output:4,cached_input:0.1`. At most 9 decimals. Or the name of one
 * kind, such as `input`, which has the weight 1 then. A kind that is not named counts nothing,
 * except that a part of the input or the output then counts as the whole does.
 * Returns nullptr, or a static text that says what is wrong; `weights` is then untouched.
 */
const char* parse_token_weights(std::string_view text, TokenWeights* weights);

/**
 * Returns what these counts amount to, at most kMaxAmount. The sum is rounded up, once. The parts
 * of the input never count for more tokens than the input has, nor those of the output.
 */
Amount weigh(const TokenCounts& counts, const TokenWeights& weights);

/**
 * Returns how many more tokens of output these counts can have before they amount to more than
 * `most`: 0 if they do already, kMaxAmount if output counts nothing. At most kMaxAmount.
 */
Amount output_left(const TokenCounts& counts, const TokenWeights& weights, Amount most);

}  // namespace ai_limit
