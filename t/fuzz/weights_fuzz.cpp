// What the configuration gives as the weights of tokens.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "core/token_weights.h"

namespace {

using namespace ai_limit;

__extension__ typedef unsigned __int128 Wide;

void require(bool holds) {
    if (!holds) {
        abort();
    }
}

/** The sum, rounded up. Adding one token can only add to it, at most its own weight. */
void check_sums(const TokenWeights& weights) {
    constexpr Amount kAmounts[] = {0, 1, 999, kMaxAmount, UINT64_MAX};
    for (const Amount input : kAmounts) {
        for (const Amount output : kAmounts) {
            for (const Amount cached : kAmounts) {
                const Amount sum = weigh({input, output, cached}, weights);
                require(sum <= kMaxAmount);
                const Amount used = cached < input ? cached : input;
                const Wide parts = Wide{input - used} * weights.input +
                                   Wide{used} * weights.cached_input +
                                   Wide{output} * weights.output;
                require(sum == kMaxAmount ? parts > Wide{kMaxAmount - 1} * kWholeWeight
                                          : parts <= Wide{sum} * kWholeWeight &&
                                                (sum == 0 || parts > Wide{sum - 1} * kWholeWeight));
            }
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    TokenWeights weights{77, 78, 79};
    const char* error = parse_token_weights(text, &weights);
    if (error != nullptr) {
        require(strlen(error) > 0);
        require(weights.input == 77 && weights.output == 78 && weights.cached_input == 79);
        return 0;
    }
    require(weights.input <= kMaxWeight && weights.output <= kMaxWeight &&
            weights.cached_input <= kMaxWeight);
    require(weights.input + weights.output + weights.cached_input > 0);
    check_sums(weights);
    return 0;
}
