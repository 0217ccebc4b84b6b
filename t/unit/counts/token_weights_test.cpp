#include "core/counts/token_weights.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "random.h"

namespace ai_limit {
namespace {

TokenWeights parsed(std::string_view text) {
    TokenWeights weights{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    const char* error = parse_token_weights(text, &weights);
    EXPECT_EQ(error, nullptr) << text << ": " << error;
    return weights;
}

std::string error_of(std::string_view text) {
    TokenWeights weights{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    const char* error = parse_token_weights(text, &weights);
    const TokenWeights untouched{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    EXPECT_EQ(std::memcmp(&weights, &untouched, sizeof(weights)), 0) << text;
    return error != nullptr ? error : "";
}

Amount weighed(std::string_view weights, TokenCounts counts) {
    return weigh(counts, parsed(weights));
}

TEST(TokenWeights, CountsWholeTokensByAWord) {
    const TokenCounts counts{100, 20, 30};
    EXPECT_EQ(weighed("total", counts), 120U);
    EXPECT_EQ(weighed("input", counts), 100U);
    EXPECT_EQ(weighed("output", counts), 20U);
    EXPECT_EQ(weighed("cached_input", counts), 30U);
    EXPECT_EQ(weigh(counts, TokenWeights()), 120U);
    TokenCounts units;
    units.images = 7;
    EXPECT_EQ(weighed("images", units), 7U);
}

TEST(TokenWeights, HaveAWeightForEachKind) {
    const TokenCounts counts{100, 20, 30};
    EXPECT_EQ(weighed("input:1,output:4,cached_input:0.1", counts), 70U + 80 + 3);
    EXPECT_EQ(weighed("cached_input:0.1,output:4,input:1", counts), 70U + 80 + 3);
    EXPECT_EQ(weighed("input:2,output:0.5,cached_input:0", counts), 140U + 10);
    EXPECT_EQ(weighed("input:0,output:0,cached_input:3", counts), 90U);
}

TEST(TokenWeights, CountsCachedInputWithoutAWeightAsInput) {
    EXPECT_EQ(weighed("input:2,output:4", {100, 20, 30}), 280U);
    EXPECT_EQ(weighed("input:2,output:4", {100, 20, 100}), 280U);
}

TEST(TokenWeights, CountsOnlyWhatIsNamed) {
    EXPECT_EQ(weighed("input:3", {100, 20, 30}), 300U);
    EXPECT_EQ(weighed("output:3", {100, 20, 30}), 60U);
    EXPECT_EQ(weighed("cached_input:3", {100, 20, 30}), 90U);
}

TEST(TokenWeights, RoundsTheSumUpOnce) {
    EXPECT_EQ(weighed("input:0.4,output:0.4", {1, 1, 0}), 1U);
    EXPECT_EQ(weighed("input:0.5,output:0.5", {1, 1, 0}), 1U);
    EXPECT_EQ(weighed("input:0.5,output:0.6", {1, 1, 0}), 2U);
    EXPECT_EQ(weighed("input:0.000000001", {1, 0, 0}), 1U);
    EXPECT_EQ(weighed("input:0.000000001", {1'000'000'000, 0, 0}), 1U);
    EXPECT_EQ(weighed("input:0.000000001", {1'000'000'001, 0, 0}), 2U);
    EXPECT_EQ(weighed("input:0.1,output:0.2", {10, 5, 0}), 2U);
    EXPECT_EQ(weighed("total", {0, 0, 0}), 0U);
}

TEST(TokenWeights, CapCachedInputAtTheInput) {
    EXPECT_EQ(weighed("input:1,cached_input:0.1", {10, 0, 1000}), 1U);
    EXPECT_EQ(weighed("total", {10, 5, UINT64_MAX}), 15U);
}

/** Input with four parts, output with two, and what is no token. */
TokenCounts all_kinds() {
    TokenCounts counts{1000, 200, 100};
    counts.cache_write = 20;
    counts.cache_write_1h = 30;
    counts.audio_input = 40;
    counts.reasoning = 50;
    counts.audio_output = 60;
    counts.images = 7;
    counts.searches = 8;
    counts.seconds = 9;
    return counts;
}

TEST(TokenWeights, SubtractsAWeightedPartFromItsWhole) {
    const TokenCounts counts = all_kinds();
    EXPECT_EQ(weighed("input:1,cached_input:0", counts), 900U);
    EXPECT_EQ(weighed("input:1,cache_write:0", counts), 980U);
    EXPECT_EQ(weighed("input:1,cache_write_1h:0", counts), 970U);
    EXPECT_EQ(weighed("input:1,audio_input:0", counts), 960U);
    EXPECT_EQ(weighed("output:1,reasoning:0", counts), 150U);
    EXPECT_EQ(weighed("output:1,audio_output:0", counts), 140U);
    EXPECT_EQ(
        weighed("input:1,output:5,cached_input:0.1,cache_write:1.25,cache_write_1h:2", counts),
        850U + 1000 + 10 + 25 + 60);
}

TEST(TokenWeights, CountsAPartWithoutAWeightAsItsWhole) {
    const TokenCounts counts = all_kinds();
    EXPECT_EQ(weighed("total", counts), 1200U);
    EXPECT_EQ(weighed("input", counts), 1000U);
    EXPECT_EQ(weighed("output", counts), 200U);
    EXPECT_EQ(weighed("input:2,output:3", counts), 2600U);
    EXPECT_EQ(weigh(counts, TokenWeights()), 1200U);
}

TEST(TokenWeights, CountsAPartWithoutItsWhole) {
    const TokenCounts counts = all_kinds();
    EXPECT_EQ(weighed("cache_write:1", counts), 20U);
    EXPECT_EQ(weighed("cache_write_1h:1", counts), 30U);
    EXPECT_EQ(weighed("audio_input:1", counts), 40U);
    EXPECT_EQ(weighed("reasoning:1", counts), 50U);
    EXPECT_EQ(weighed("audio_output:1", counts), 60U);
}

TEST(TokenWeights, CountImagesSearchesAndSecondsOnlyIfNamed) {
    const TokenCounts counts = all_kinds();
    EXPECT_EQ(weighed("images:100", counts), 700U);
    EXPECT_EQ(weighed("searches:100", counts), 800U);
    EXPECT_EQ(weighed("seconds:0.5", counts), 5U);
    EXPECT_EQ(weighed("input:1,searches:10000", counts), 81'000U);
}

TEST(TokenWeights, CapPartsAtTheirWhole) {
    TokenCounts counts{100, 10, 80};
    counts.cache_write = 15;
    counts.cache_write_1h = 15;
    counts.audio_input = UINT64_MAX;
    counts.reasoning = 8;
    counts.audio_output = 8;
    EXPECT_EQ(weighed("total", counts), 110U);
    EXPECT_EQ(weighed("cached_input:1", counts), 80U);
    EXPECT_EQ(weighed("cache_write:1", counts), 15U);
    EXPECT_EQ(weighed("cache_write_1h:1", counts), 5U);
    EXPECT_EQ(weighed("audio_input:1", counts), 0U);
    EXPECT_EQ(weighed("audio_output:1", counts), 2U);
}

TEST(TokenWeights, CapsTheSumAtTheLargestAmount) {
    EXPECT_EQ(weighed("total", {kMaxAmount, 0, 0}), kMaxAmount);
    EXPECT_EQ(weighed("total", {kMaxAmount, 1, 0}), kMaxAmount);
    EXPECT_EQ(weighed("total", {kMaxAmount - 1, 0, 0}), kMaxAmount - 1);
    EXPECT_EQ(weighed("total", {UINT64_MAX, UINT64_MAX, 0}), kMaxAmount);
    EXPECT_EQ(weighed("input:1000000,output:1000000,cached_input:1000000",
                      {UINT64_MAX, UINT64_MAX, UINT64_MAX / 2}),
              kMaxAmount);
    TokenCounts counts{UINT64_MAX, UINT64_MAX};
    counts.images = counts.searches = counts.seconds = UINT64_MAX;
    EXPECT_EQ(weighed("input:1000000,output:1000000,images:1000000,searches:1000000,"
                      "seconds:1000000",
                      counts),
              kMaxAmount);
    EXPECT_EQ(weighed("input:0.000000001,output:0", {UINT64_MAX, 0, 0}), 18'446'744'074U);
}

TEST(TokenWeights, RefusesWordsWithoutMeaning) {
    for (const std::string_view text : {"", "all", "Total", " total", "total ", "input,output",
                                        "input:1,", ",input:1", "input:1,,output:1", ":1"}) {
        EXPECT_NE(error_of(text), "") << text;
    }
    const std::string names =
        "weights are for input, cached_input, cache_write, cache_write_1h, audio_input, "
        "output, reasoning, audio_output, images, searches and seconds";
    EXPECT_EQ(error_of("total:1"), names);
    EXPECT_EQ(error_of("input:1,cached:1"), names);
    EXPECT_EQ(error_of("input:1,output:1,input:1"), "a weight is given twice");
    EXPECT_EQ(error_of("input:0,output:0.000"), "with these weights nothing would count");
    EXPECT_EQ(error_of("input:1.1234567890"), "1 to 9 digits belong behind the point of a weight");
    EXPECT_EQ(error_of("input:1."), "1 to 9 digits belong behind the point of a weight");
    for (const std::string_view text :
         {"input:", "input:-1", "input:+1", "input:1e3", "input:.5", "input:1x", "input: 1",
          "input:1000001", "input:1000000.000000001", "input:99999999999999999999",
          "input:18446744073709551616", "input:1:2"}) {
        EXPECT_EQ(error_of(text), "a weight is a number from 0 to 1000000") << text;
    }
}

TEST(TokenWeights, ReadsDecimalsExactly) {
    EXPECT_EQ(parsed("input:1.5").input, 1'500'000'000U);
    EXPECT_EQ(parsed("input:0.123456789").input, 123'456'789U);
    EXPECT_EQ(parsed("input:007.10").input, 7'100'000'000U);
    EXPECT_EQ(parsed("input:1000000").input, kMaxWeight);
    EXPECT_EQ(parsed("input:1000000.0").input, kMaxWeight);
}

/** The number, in decimal digits, the lowest first: a way to multiply that shares nothing with the
 * code. */
using Digits = std::vector<int>;

Digits product(const Digits& a, const Digits& b) {
    Digits sum(a.size() + b.size(), 0);
    for (size_t i = 0; i < a.size(); ++i) {
        for (size_t k = 0; k < b.size(); ++k) {
            sum[i + k] += a[i] * b[k];
        }
    }
    return sum;
}

Digits digits_of(std::string text) {
    Digits digits;
    for (; !text.empty(); text.pop_back()) {
        digits.push_back(text.back() - '0');
    }
    return digits;
}

struct Kind {
    const char* name;
    Amount TokenCounts::*count;
    Amount TokenCounts::*whole;
};

constexpr Kind kKinds[] = {
    {"input", &TokenCounts::input, nullptr},
    {"output", &TokenCounts::output, nullptr},
    {"cached_input", &TokenCounts::cached_input, &TokenCounts::input},
    {"cache_write", &TokenCounts::cache_write, &TokenCounts::input},
    {"cache_write_1h", &TokenCounts::cache_write_1h, &TokenCounts::input},
    {"audio_input", &TokenCounts::audio_input, &TokenCounts::input},
    {"reasoning", &TokenCounts::reasoning, &TokenCounts::output},
    {"audio_output", &TokenCounts::audio_output, &TokenCounts::output},
    {"images", &TokenCounts::images, nullptr},
    {"searches", &TokenCounts::searches, nullptr},
    {"seconds", &TokenCounts::seconds, nullptr},
};

TEST(TokenWeights, MatchesLongMultiplication) {
    Random random(4);
    for (int i = 0; i < 20'000; ++i) {
        TokenCounts counts;
        std::string text;
        Digits sum(60, 0);
        for (const Kind& kind : kKinds) {
            const std::string whole = std::to_string(random.below(random.scaled(999'999)) + 1);
            std::string decimals = std::to_string(random.scaled(999'999'999));
            decimals = decimals.substr(0, random.below(10));
            text += std::string(text.empty() ? "" : ",") + kind.name + ":" + whole +
                    (decimals.empty() ? "" : "." + decimals);
            decimals.resize(9, '0');
            const Amount amount = random.below(random.scaled(kMaxAmount));
            counts.*kind.count += amount;
            if (kind.whole != nullptr) {
                counts.*kind.whole += amount;
            }
            const Digits part =
                product(digits_of(whole + decimals), digits_of(std::to_string(amount)));
            for (size_t n = 0; n < part.size(); ++n) {
                sum[n] += part[n];
            }
        }
        bool fraction = false;
        int carry = 0;
        for (size_t n = 0; n < sum.size(); ++n) {
            sum[n] += carry;
            carry = sum[n] / 10;
            sum[n] %= 10;
            fraction = fraction || (n < 9 && sum[n] != 0);
        }
        Amount expected = 0;
        for (size_t n = sum.size(); n-- > 9;) {
            expected = std::min(expected * 10 + static_cast<Amount>(sum[n]), kMaxAmount);
        }
        expected = std::min(expected + (fraction ? 1 : 0), kMaxAmount);
        ASSERT_EQ(weighed(text, counts), expected) << text;
    }
}

}  // namespace
}  // namespace ai_limit
