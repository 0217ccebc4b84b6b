// Fuzzes the weights of tokens that the configuration gives.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "core/counts/token_weights.h"

namespace {

using namespace ai_limit;

__extension__ typedef unsigned __int128 Wide;

void require(bool holds) {
    if (!holds) {
        abort();
    }
}

/** The parts of a whole, in the order in which they are believed. */
struct Whole {
    Amount TokenCounts::*count;
    uint64_t TokenWeights::*weight;
    struct {
        Amount TokenCounts::*count;
        uint64_t TokenWeights::*weight;
    } parts[4];
};

constexpr Whole kWholes[] = {
    {&TokenCounts::input,
     &TokenWeights::input,
     {{&TokenCounts::cached_input, &TokenWeights::cached_input},
      {&TokenCounts::cache_write, &TokenWeights::cache_write},
      {&TokenCounts::cache_write_1h, &TokenWeights::cache_write_1h},
      {&TokenCounts::audio_input, &TokenWeights::audio_input}}},
    {&TokenCounts::output,
     &TokenWeights::output,
     {{&TokenCounts::reasoning, &TokenWeights::reasoning},
      {&TokenCounts::audio_output, &TokenWeights::audio_output}}},
    {&TokenCounts::images, &TokenWeights::images, {}},
    {&TokenCounts::searches, &TokenWeights::searches, {}},
    {&TokenCounts::seconds, &TokenWeights::seconds, {}},
};

Wide exact_sum(const TokenCounts& counts, const TokenWeights& weights) {
    Wide sum = 0;
    for (const Whole& whole : kWholes) {
        Wide before = 0;
        for (const auto& part : whole.parts) {
            if (part.count == nullptr) {
                break;
            }
            const Wide all = counts.*whole.count;
            const Wide upto = before + counts.*part.count;
            const Wide taken = (upto < all ? upto : all) - (before < all ? before : all);
            sum += taken * (weights.*part.weight);
            before = upto;
        }
        const Wide rest = before < counts.*whole.count ? counts.*whole.count - before : 0;
        sum += rest * (weights.*whole.weight);
    }
    return sum;
}

/** The sum, rounded up once, whatever the counts. */
void check_sums(const TokenWeights& weights) {
    constexpr Amount kAmounts[] = {0, 1, 999, kMaxAmount, UINT64_MAX};
    uint64_t random = 1;
    for (int i = 0; i < 200; ++i) {
        TokenCounts counts;
        for (const Whole& whole : kWholes) {
            random = random * 6364136223846793005U + 1442695040888963407U;
            counts.*whole.count = kAmounts[(random >> 40) % 5];
            for (size_t k = 0; k < 4 && whole.parts[k].count != nullptr; ++k) {
                counts.*whole.parts[k].count = kAmounts[(random >> (44 + 4 * k)) % 5];
            }
        }
        const Amount sum = weigh(counts, weights);
        const Wide parts = exact_sum(counts, weights);
        require(sum <= kMaxAmount);
        require(sum == kMaxAmount ? parts > Wide{kMaxAmount - 1} * kWholeWeight
                                  : parts <= Wide{sum} * kWholeWeight &&
                                        (sum == 0 || parts > Wide{sum - 1} * kWholeWeight));
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
    bool counts = false;
    for (const Whole& whole : kWholes) {
        require(weights.*whole.weight <= kMaxWeight);
        counts |= weights.*whole.weight > 0;
        for (size_t k = 0; k < 4 && whole.parts[k].count != nullptr; ++k) {
            require(weights.*whole.parts[k].weight <= kMaxWeight);
            counts |= weights.*whole.parts[k].weight > 0;
        }
    }
    require(counts);
    check_sums(weights);
    return 0;
}
