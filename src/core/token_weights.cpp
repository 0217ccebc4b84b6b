#include "core/token_weights.h"

#include "core/number.h"

namespace ai_limit {

namespace {

__extension__ typedef unsigned __int128 Wide;

constexpr unsigned kDecimals = 9;
static_assert(kWholeWeight == 1'000'000'000, "as many decimals as a weight can have");

// The largest sum there is: three products of 64 bits.
static_assert(Wide{UINT64_MAX} * kMaxWeight <= ~Wide{0} / 4);

constexpr uint64_t kNotGiven = UINT64_MAX;

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
        return "it is total, input, output, or weights such as input:1,output:4";
    }
    const std::string_view name = part.substr(0, colon);
    uint64_t* weight = nullptr;
    if (name == "input") {
        weight = &weights->input;
    } else if (name == "output") {
        weight = &weights->output;
    } else if (name == "cached_input") {
        weight = &weights->cached_input;
    } else {
        return "only input, output and cached_input have weights";
    }
    if (*weight != kNotGiven) {
        return "a weight is given twice";
    }
    return parse_weight(part.substr(colon + 1), weight);
}

uint64_t weight_or(uint64_t weight, uint64_t otherwise) {
    return weight == kNotGiven ? otherwise : weight;
}

}  // namespace

const char* parse_token_weights(std::string_view text, TokenWeights* weights) {
    if (text == "total") {
        *weights = {kWholeWeight, kWholeWeight, kWholeWeight};
        return nullptr;
    }
    if (text == "input") {
        *weights = {kWholeWeight, 0, kWholeWeight};
        return nullptr;
    }
    if (text == "output") {
        *weights = {0, kWholeWeight, 0};
        return nullptr;
    }
    TokenWeights given{kNotGiven, kNotGiven, kNotGiven};
    size_t end = 0;
    do {
        end = text.find(',');
        if (const char* error = parse_part(text.substr(0, end), &given)) {
            return error;
        }
        text.remove_prefix(end == text.npos ? text.size() : end + 1);
    } while (end != text.npos);

    const uint64_t input = weight_or(given.input, 0);
    const TokenWeights read{input, weight_or(given.output, 0),
                            weight_or(given.cached_input, input)};
    if (read.input == 0 && read.output == 0 && read.cached_input == 0) {
        return "with these weights nothing would count";
    }
    *weights = read;
    return nullptr;
}

Amount weigh(const TokenCounts& counts, const TokenWeights& weights) {
    const Amount cached = counts.cached_input < counts.input ? counts.cached_input : counts.input;
    const Wide sum = Wide{counts.input - cached} * weights.input +
                     Wide{cached} * weights.cached_input + Wide{counts.output} * weights.output;
    const Wide whole = (sum + kWholeWeight - 1) / kWholeWeight;
    return whole < kMaxAmount ? static_cast<Amount>(whole) : kMaxAmount;
}

}  // namespace ai_limit
