#include "core/counts/token_weights.h"

#include <iterator>

#include "core/words/number.h"

namespace ai_limit {

namespace {

__extension__ typedef unsigned __int128 Wide;

constexpr unsigned kDecimals = 9;
static_assert(kWholeWeight == 1'000'000'000, "as many decimals as a weight can have");

// The largest sum: input, output, images, searches, seconds and cost, each with the largest weight.
static_assert(Wide{UINT64_MAX} * kMaxWeight <= ~Wide{0} / 6);

constexpr uint64_t kNotGiven = UINT64_MAX;

using Weight = uint64_t TokenWeights::*;

/** A kind that `count=` can name. */
struct KindRow {
    std::string_view name;
    Weight weight;
    Weight whole;  // whose weight it has unless it has one of its own; nullptr: it counts nothing
};

constexpr KindRow kKinds[] = {
    {"input", &TokenWeights::input, nullptr},
    {"output", &TokenWeights::output, nullptr},
    {"cached_input", &TokenWeights::cached_input, &TokenWeights::input},
    {"cache_write", &TokenWeights::cache_write, &TokenWeights::input},
    {"cache_write_1h", &TokenWeights::cache_write_1h, &TokenWeights::input},
    {"audio_input", &TokenWeights::audio_input, &TokenWeights::input},
    {"reasoning", &TokenWeights::reasoning, &TokenWeights::output},
    {"audio_output", &TokenWeights::audio_output, &TokenWeights::output},
    {"images", &TokenWeights::images, nullptr},
    {"searches", &TokenWeights::searches, nullptr},
    {"seconds", &TokenWeights::seconds, nullptr},
};
static_assert(sizeof(TokenWeights) == (std::size(kKinds) + 1) * sizeof(uint64_t) &&
                  sizeof(TokenCounts) == (std::size(kKinds) + 1) * sizeof(Amount),
              "each kind but the cost has a name");

Weight weight_of(std::string_view name) {
    for (const KindRow& kind : kKinds) {
        if (kind.name == name) {
            return kind.weight;
        }
    }
    return nullptr;
}

const char* parse_weight(std::string_view text, uint64_t* weight) {
    uint64_t whole = 0;
    uint64_t fraction = 0;
    unsigned digits = 0;
    if (!read_digits(&text, &whole, &digits) || whole > kMaxWeight / kWholeWeight) {
        return "a weight is a number from 0 to 1000000";
    }
    if (!text.empty() && text.front() == '.') {
        text.remove_prefix(1);
        if (!read_digits(&text, &fraction, &digits) || digits > kDecimals) {
            return "1 to 9 digits belong behind the point of a weight";
        }
        for (; digits < kDecimals; ++digits) {
            fraction *= 10;
        }
    }
    const uint64_t sum = whole * kWholeWeight + fraction;
    if (!text.empty() || sum > kMaxWeight) {
        return "a weight is a number from 0 to 1000000";
    }
    *weight = sum;
    return nullptr;
}

/** Reads one `name:weight`. */
const char* parse_part(std::string_view part, TokenWeights* weights) {
    const size_t colon = part.find(':');
    if (colon == part.npos) {
        return "it is total, a kind such as input, or weights such as input:1,output:4";
    }
    const Weight kind = weight_of(part.substr(0, colon));
    if (kind == nullptr) {
        return "weights are for input, cached_input, cache_write, cache_write_1h, audio_input, "
               "output, reasoning, audio_output, images, searches and seconds";
    }
    uint64_t* weight = &(weights->*kind);
    if (*weight != kNotGiven) {
        return "a weight is given twice";
    }
    return parse_weight(part.substr(colon + 1), weight);
}

/** Reads all weights, or the name of one kind; those that are not named stay kNotGiven. */
const char* parse_parts(std::string_view text, TokenWeights* weights) {
    for (const KindRow& kind : kKinds) {
        weights->*kind.weight = kNotGiven;
    }
    if (const Weight alone = weight_of(text)) {
        weights->*alone = kWholeWeight;
        return nullptr;
    }
    size_t end = 0;
    do {
        end = text.find(',');
        if (const char* error = parse_part(text.substr(0, end), weights)) {
            return error;
        }
        text.remove_prefix(end == text.npos ? text.size() : end + 1);
    } while (end != text.npos);
    return nullptr;
}

/** Completes the weights; false if nothing counts. A whole stands before its parts. */
bool complete(TokenWeights* weights) {
    bool counts = false;
    for (const KindRow& kind : kKinds) {
        uint64_t* weight = &(weights->*kind.weight);
        if (*weight == kNotGiven) {
            *weight = kind.whole != nullptr ? weights->*kind.whole : 0;
        }
        counts |= *weight != 0;
    }
    return counts;
}

/** Takes a part away from what is left of its whole. */
Wide weigh_part(Amount part, uint64_t weight, Amount* rest) {
    if (part == 0) {
        return 0;
    }
    const Amount taken = part < *rest ? part : *rest;
    *rest -= taken;
    return Wide{taken} * weight;
}

/** Returns what the counts amount to, in billionths. */
Wide weigh_exactly(const TokenCounts& counts, const TokenWeights& weights) {
    Amount input = counts.input;
    Wide sum = weigh_part(counts.cached_input, weights.cached_input, &input);
    sum += weigh_part(counts.cache_write, weights.cache_write, &input);
    sum += weigh_part(counts.cache_write_1h, weights.cache_write_1h, &input);
    sum += weigh_part(counts.audio_input, weights.audio_input, &input);
    sum += Wide{input} * weights.input;
    Amount output = counts.output;
    sum += weigh_part(counts.reasoning, weights.reasoning, &output);
    sum += weigh_part(counts.audio_output, weights.audio_output, &output);
    sum += Wide{output} * weights.output;
    sum += Wide{counts.images} * weights.images + Wide{counts.searches} * weights.searches +
           Wide{counts.seconds} * weights.seconds + Wide{counts.cost} * weights.cost;
    return sum;
}

}  // namespace

const char* parse_token_weights(std::string_view text, TokenWeights* weights) {
    if (text == "total") {
        *weights = TokenWeights();
        return nullptr;
    }
    TokenWeights read;
    if (const char* error = parse_parts(text, &read)) {
        return error;
    }
    if (!complete(&read)) {
        return "with these weights nothing would count";
    }
    *weights = read;
    return nullptr;
}

Amount weigh(const TokenCounts& counts, const TokenWeights& weights) {
    const Wide whole = (weigh_exactly(counts, weights) + kWholeWeight - 1) / kWholeWeight;
    return whole < kMaxAmount ? static_cast<Amount>(whole) : kMaxAmount;
}

Amount output_left(const TokenCounts& counts, const TokenWeights& weights, Amount most) {
    if (weights.output == 0) {
        return kMaxAmount;
    }
    const Wide sum = weigh_exactly(counts, weights);
    const Wide room = Wide{most} * kWholeWeight;
    const Wide left = sum < room ? (room - sum) / weights.output : 0;
    return left < kMaxAmount ? static_cast<Amount>(left) : kMaxAmount;
}

}  // namespace ai_limit
