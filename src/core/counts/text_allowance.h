#pragma once

// Finds out when an answer that is still running has used its reservation.

#include "core/counts/answer_cost.h"
#include "core/counts/token_weights.h"

namespace ai_limit {

/** Returned where no text can use the reservation up. */
constexpr uint64_t kUnlimitedText = UINT64_MAX;

/** A reservation grows by so many tokens of output at once. */
constexpr Amount kGrowthStep = 256;

/** The text that probably has as many tokens as a step. */
constexpr uint64_t kGrowthText = 4 * kGrowthStep;

/**
 * Returns what a running answer has used so far, as answer_cost() would charge it if it ended now.
 * Beside the text, its output is at least what it has reported.
 */
TokenCounts used_so_far(const ReportedUsage& reported, uint64_t text, Amount prompt);

/**
 * Returns how many more characters of text may pass before an answer that has used these counts has
 * used the reservation, at four characters a token. 0 if it has used more already.
 */
uint64_t text_allowed(Amount reserved, const TokenCounts& used, const TokenWeights& weights);

/**
 * Returns how much a reservation must grow so that these counts and `ahead` more tokens of output
 * fit. 0 if they fit.
 */
Amount growth_wanted(Amount reserved, const TokenCounts& used, Amount ahead,
                     const TokenWeights& weights);

}  // namespace ai_limit
