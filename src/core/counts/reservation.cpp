#include "core/counts/reservation.h"

namespace ai_limit {

Amount reservation(const Expectation& expected, const TokenWeights& weights, Amount capacity) {
    TokenCounts counts;
    counts.input = expected.prompt;
    Amount prompt = weigh(counts, weights);
    if (prompt > capacity) {
        return prompt;
    }
    counts.input = expected.input;
    counts.output = expected.output;
    Amount all = weigh(counts, weights);
    return all < capacity ? all : capacity;
}

}  // namespace ai_limit
