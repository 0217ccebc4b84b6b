#pragma once

#include "core/counts/token_weights.h"

namespace ai_limit {

/** The expected usage of a request, before it is answered. */
struct Expectation {
    Amount prompt;       // estimated input tokens
    bool limits_output;  // the request says how much output it wants at most:
    Amount most_output;
};

/**
 * Returns the reservation for a request with `reserve=auto`, in the policy's unit, at most
 * `capacity`. If the prompt alone counts more than that, returns what the prompt counts: the
 * request can then never fit.
 */
Amount reservation(const Expectation& expected, const TokenWeights& weights, Amount capacity);

}  // namespace ai_limit
