#include "core/counts/reservation.h"

namespace ai_limit {

Amount reservation(const Expectation& expected, const TokenWeights& weights, Amount capacity) {
    TokenCounts counts;
    counts.input = expected.prompt;
    Amount prompt = weigh(counts, weights);
    if (prompt > capacity) {
        return prompt;
    }
    counts.output = expected.limits_output ? expected.most_output : 0;
    Amount all = weigh(counts, weights);
    return all < capacity ? all : capacity;
}

}  // namespace ai_limit
