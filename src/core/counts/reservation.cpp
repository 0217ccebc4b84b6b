#include "core/counts/reservation.h"

#include "core/counts/output_room.h"

namespace ai_limit {

namespace {

/** The same as weigh(), if all of the output is of the kind that weighs most. */
Amount weigh_at_most(const TokenCounts& counts, TokenWeights weights) {
    weights.output = heaviest_output(weights);
    return weigh(counts, weights);
}

}  // namespace

Amount reservation(const Expectation& expected, const TokenWeights& weights, Amount capacity) {
    TokenCounts counts;
    counts.input = expected.prompt;
    Amount prompt = weigh(counts, weights);
    if (prompt > capacity) {
        return prompt;
    }
    counts.input = expected.input;
    counts.output = expected.output;
    Amount all = expected.is_most ? weigh_at_most(counts, weights) : weigh(counts, weights);
    const Amount part = capacity / kSparePart;
    if (expected.spare != 0 && all < part) {
        counts.output += expected.spare;
        all = weigh(counts, weights);
        return all < part ? all : part;
    }
    return all < capacity ? all : capacity;
}

}  // namespace ai_limit
