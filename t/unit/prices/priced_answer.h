#pragma once

// Recorded answers and what they cost by hand. The answers are written anew, in the shapes that the
// providers send.

#include <string>
#include <utility>
#include <vector>

#include "core/answers/answer_kind.h"
#include "usage/provider_answers.h"

namespace ai_limit {

struct PricedAnswer {
    const char* name;
    const char* requested;  // the model that the request names
    AnswerKind kind;
    std::string body;
    // The sum by hand: counts times USD for a million of them, from the map of the test.
    const char* cost;
    std::vector<std::pair<const char*, const char*>> headers = {};
    bool estimated = false;  // the answer does not report all that it cost
};

constexpr AnswerKind kWhole = AnswerKind::kJson;
constexpr AnswerKind kStream = AnswerKind::kSse;

/** Prices in dollars for one unit, as LiteLLM's map has them. */
extern const char* const kPricedModels;

std::vector<PricedAnswer> priced_openai_answers();
std::vector<PricedAnswer> priced_compatible_answers();
std::vector<PricedAnswer> priced_anthropic_answers();
std::vector<PricedAnswer> priced_google_answers();
std::vector<PricedAnswer> priced_bedrock_answers();
std::vector<PricedAnswer> priced_other_answers();

}  // namespace ai_limit
