#pragma once

#include "core/token_weights.h"

namespace ai_limit {

/** What a request is expected to use, before it is answered. */
struct Expectation {
    Amount prompt;       // estimated input tokens
    bool limits_output;  // the request says how much output it wants at most:
    Amount most_output;
};

/**
 * What a policy that can hold `capacity` holds for a request with `reserve=auto`, in what the
 * policy counts: no more than it can hold. Where the prompt alone is more than that, what the
 * prompt counts: then the request can never fit.
 */
Amount reservation(const Expectation& expected, const TokenWeights& weights, Amount capacity);

}  // namespace ai_limit
