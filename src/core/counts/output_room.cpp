#include "core/counts/output_room.h"

namespace ai_limit {

namespace {

__extension__ typedef unsigned __int128 Wide;

Amount at_most(Wide amount) {
    return amount < kMaxAmount ? static_cast<Amount>(amount) : kMaxAmount;
}

}  // namespace

uint64_t heaviest_output(const TokenWeights& weights) {
    uint64_t heaviest = weights.output;
    for (const uint64_t weight : {weights.reasoning, weights.audio_output}) {
        heaviest = weight > heaviest ? weight : heaviest;
    }
    return heaviest;
}

Amount output_room(Amount left, const TokenWeights& weights) {
    const uint64_t weight = heaviest_output(weights);
    return weight == 0 ? kMaxAmount : at_most(Wide{left} * kWholeWeight / weight);
}

Amount output_cost(Amount tokens, const TokenWeights& weights) {
    return at_most((Wide{tokens} * heaviest_output(weights) + kWholeWeight - 1) / kWholeWeight);
}

}  // namespace ai_limit
