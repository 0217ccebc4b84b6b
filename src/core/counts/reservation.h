#pragma once

#include "core/counts/token_weights.h"

namespace ai_limit {

/** The most output that a request asks for. */
struct AskedOutput {
    bool is_limited;
    Amount most;  // where it is
};

/** The expected usage of a request, before it is answered. */
struct Expectation {
    Amount prompt;  // estimated input tokens
    Amount input;   // the same, corrected by what was learned
    Amount output;
    bool is_most = false;  // the output is the most there can be, of whatever kind it is
    Amount spare = 0;      // more output, to be reserved where the limit is large against it
};

/** The output that `reserve=auto` expects of a request that names no limit, as long as nothing was
 * learned. */
constexpr Amount kUnknownOutput = 1000;

/** With what is to spare, at most such a part of the limit is reserved. A larger part would leave
 * a budget unused. */
constexpr Amount kSparePart = 16;

/**
 * Returns the reservation for a request in the policy's unit, at most `capacity`. If the estimate
 * of the prompt alone counts more than that, returns what the prompt counts: the request can then
 * never fit. What was learned never decides that, since other requests taught it.
 */
Amount reservation(const Expectation& expected, const TokenWeights& weights, Amount capacity);

}  // namespace ai_limit
