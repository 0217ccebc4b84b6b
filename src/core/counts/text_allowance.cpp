#include "core/counts/text_allowance.h"

namespace ai_limit {

TokenCounts used_so_far(const ReportedUsage& reported, uint64_t text, Amount prompt) {
    AnswerFacts facts;
    facts.reported = reported;
    facts.text = text;
    facts.prompt = prompt;
    return answer_cost(facts).counts;
}

uint64_t text_allowed(Amount reserved, const TokenCounts& used, const TokenWeights& weights) {
    const Amount tokens = output_left(used, weights, reserved);
    return tokens < kMaxAmount ? tokens * (kGrowthText / kGrowthStep) : kUnlimitedText;
}

Amount growth_wanted(Amount reserved, const TokenCounts& used, Amount ahead,
                     const TokenWeights& weights) {
    TokenCounts then = used;
    then.output += ahead;
    const Amount wanted = weigh(then, weights);
    return wanted > reserved ? wanted - reserved : 0;
}

}  // namespace ai_limit
