#include "prices/price_file.h"

#include <gtest/gtest.h>

#include <string>

#include "prices/price_tables.h"

namespace ai_limit {
namespace {

constexpr PriceTier kStandard = PriceTier::kStandard;
constexpr PriceTier kPriority = PriceTier::kPriority;
constexpr PriceTier kFlex = PriceTier::kFlex;
constexpr PriceTier kBatch = PriceTier::kBatch;

/** A model `m` with these fields. */
TestPrices model_with(const std::string& fields) {
    return TestPrices("{\"m\":{" + fields + "}}");
}

/** The price of a token of input in 10^-12 dollars, from its text in a file. */
uint64_t price_of(const std::string& number) {
    return model_with("\"input_cost_per_token\":" + number).input("m");
}

TEST(PriceFile, ReadsDecimalsExactly) {
    EXPECT_EQ(price_of("0.0000025"), 2'500'000U);
    EXPECT_EQ(price_of("2.5e-06"), 2'500'000U);
    EXPECT_EQ(price_of("25E-7"), 2'500'000U);
    EXPECT_EQ(price_of("5.46875e-07"), 546'875U);
    EXPECT_EQ(price_of("1.58945719e-07"), 158'946U);
    EXPECT_EQ(price_of("0.1e1"), 1'000'000'000'000U);
    EXPECT_EQ(price_of("1"), 1'000'000'000'000U);
    EXPECT_EQ(price_of("1e-12"), 1U);
    EXPECT_EQ(price_of("1000"), kMaxPrice);
    EXPECT_EQ(price_of("1e3"), kMaxPrice);
    EXPECT_EQ(price_of("999.9999999999999"), kMaxPrice);
    EXPECT_EQ(price_of("999.999999999999"), kMaxPrice - 1);
    for (const char* zero : {"0", "-0", "0.0", "0e9", "-0.0e-5", "0.000e400"}) {
        EXPECT_EQ(price_of(zero), 0U) << zero;
    }
}

TEST(PriceFile, RoundsUpWhatIsFinerThanABillionthOfAThousandth) {
    EXPECT_EQ(price_of("1e-13"), 1U);
    EXPECT_EQ(price_of("1e-400"), 1U);
    EXPECT_EQ(price_of("1e-99999999999999999999"), 1U);
    EXPECT_EQ(price_of("0.0000000000010000000000000000000000000000000000001"), 2U);
    EXPECT_EQ(price_of("0.00000250000000000000000000000000000000000000000000"), 2'500'000U);
    EXPECT_EQ(price_of("2.5000000000000000000000000000000000000000001e-06"), 2'500'001U);
    EXPECT_EQ(price_of("0.123456789012345678901234567890123456789012345678"), 123'456'789'013U);
    EXPECT_EQ(price_of(std::string(400, '9') + "e-402"), 10'000'000'000U);
}

TEST(PriceFile, ReadsThePriceOfEachKind) {
    const TokenWeights weights =
        model_with(R"("input_cost_per_token":1e-12,"output_cost_per_token":2e-12,
            "cache_read_input_token_cost":3e-12,"cache_creation_input_token_cost":4e-12,
            "cache_creation_input_token_cost_above_1hr":5e-12,"input_cost_per_audio_token":6e-12,
            "output_cost_per_reasoning_token":7e-12,"output_cost_per_audio_token":8e-12,
            "output_cost_per_image":9e-12,"search_context_cost_per_query":10e-12,
            "input_cost_per_second":11e-12)")
            .weights("m");
    EXPECT_EQ(weights.input, 1000U);
    EXPECT_EQ(weights.output, 2000U);
    EXPECT_EQ(weights.cached_input, 3000U);
    EXPECT_EQ(weights.cache_write, 4000U);
    EXPECT_EQ(weights.cache_write_1h, 5000U);
    EXPECT_EQ(weights.audio_input, 6000U);
    EXPECT_EQ(weights.reasoning, 7000U);
    EXPECT_EQ(weights.audio_output, 8000U);
    EXPECT_EQ(weights.images, 9000U);
    EXPECT_EQ(weights.searches, 10'000U);
    EXPECT_EQ(weights.seconds, 11'000U);
}

TEST(PriceFile, ChargesAPartWithoutAPriceAsItsWhole) {
    const TokenWeights weights =
        model_with(R"("input_cost_per_token":1e-12,"output_cost_per_token":2e-12,
            "cache_creation_input_token_cost":3e-12)")
            .weights("m");
    EXPECT_EQ(weights.cached_input, 1000U);
    EXPECT_EQ(weights.cache_write, 3000U);
    EXPECT_EQ(weights.cache_write_1h, 3000U);
    EXPECT_EQ(weights.audio_input, 1000U);
    EXPECT_EQ(weights.reasoning, 2000U);
    EXPECT_EQ(weights.audio_output, 2000U);
    EXPECT_EQ(weights.images + weights.searches + weights.seconds, 0U);
    EXPECT_EQ(model_with(R"("input_cost_per_token":1e-12)").weights("m").cache_write_1h, 1000U);
    EXPECT_EQ(model_with(R"("input_cost_per_token":1e-12,"cache_read_input_token_cost":0)")
                  .weights("m")
                  .cached_input,
              0U);
}

TEST(PriceFile, ChargesOutputByThePriceOfImageTokensIfItHasNoOther) {
    EXPECT_EQ(model_with(R"("input_cost_per_token":1e-12,"output_cost_per_image_token":2e-12)")
                  .weights("m")
                  .output,
              2000U);
    for (const char* fields :
         {R"("output_cost_per_image_token":2e-12,"output_cost_per_token":1e-12)",
          R"("output_cost_per_token":1e-12,"output_cost_per_image_token":2e-12)"}) {
        EXPECT_EQ(model_with(fields).weights("m").output, 1000U) << fields;
    }
}

TEST(PriceFile, TakesTheMediumPriceOfASearchElseTheHighest) {
    const auto searches = [](const std::string& price) {
        return model_with("\"search_context_cost_per_query\":" + price).weights("m").searches;
    };
    EXPECT_EQ(searches("0.01"), 10'000'000'000'000U);
    EXPECT_EQ(searches(R"({"search_context_size_low":0.03,"search_context_size_medium":0.035,
        "search_context_size_high":0.05})"),
              35'000'000'000'000U);
    EXPECT_EQ(
        searches(R"({"search_context_size_low":0.03,"search_context_size_high":0.05,"x":{}})"),
        50'000'000'000'000U);
    EXPECT_EQ(searches(R"({"search_context_size_low":0.03,"other":"?"})"), 30'000'000'000'000U);
    EXPECT_EQ(searches(R"({"search_context_size_medium":0,"search_context_size_high":1})"), 0U);
    const TestPrices two(R"({"a":{"search_context_cost_per_query":{"search_context_size_high":1}},
        "b":{"search_context_cost_per_query":{"search_context_size_low":0.5}}})");
    EXPECT_EQ(two.weights("b").searches, 500'000'000'000'000U);
    EXPECT_FALSE(model_with(R"("search_context_cost_per_query":{})").has("m"));
}

TEST(PriceFile, TakesThePriceOfAQueryForSearchesIfThereIsNoOther) {
    const TestPrices prices(R"({"rerank":{"input_cost_per_query":0.002,"input_cost_per_token":0},
        "both":{"input_cost_per_query":0.002,"search_context_cost_per_query":0.01},
        "bare":{"input_cost_per_query":0.002},"after":{"input_cost_per_token":1e-12}})");
    EXPECT_EQ(prices.weights("rerank").searches, 2'000'000'000'000U);
    EXPECT_EQ(prices.weights("rerank").input, 0U);
    EXPECT_EQ(prices.weights("both").searches, 10'000'000'000'000U);
    EXPECT_FALSE(prices.has("bare"));
    EXPECT_EQ(prices.weights("after").input, 1000U);
}

TEST(PriceFile, ReadsTiersAndThresholdsInAnyOrder) {
    for (const char* name : {"input_cost_per_token_above_200k_tokens_priority",
                             "input_cost_per_token_priority_above_200k_tokens"}) {
        const TestPrices prices =
            model_with(R"("input_cost_per_token":1e-12,")" + std::string(name) + R"(":5e-12)");
        EXPECT_EQ(prices.input("m", kPriority, 200'001), 5U) << name;
        EXPECT_EQ(prices.input("m", kPriority, 200'000), 1U) << name;
        EXPECT_EQ(prices.input("m", kStandard, 200'001), 1U) << name;
    }
    const TestPrices hour = model_with(
        R"("cache_creation_input_token_cost_above_1hr":1e-12,
        "cache_creation_input_token_cost_above_1hr_above_200k_tokens":2e-12)");
    EXPECT_EQ(hour.weights("m", kStandard, 200'001).cache_write_1h, 2000U);
    EXPECT_EQ(hour.weights("m", kStandard, 200'000).cache_write_1h, 1000U);
}

TEST(PriceFile, HasPricesForEachTier) {
    const TestPrices prices =
        model_with(R"("input_cost_per_token":4e-12,"input_cost_per_token_priority":8e-12,
            "input_cost_per_token_flex":2e-12,"input_cost_per_token_batches":1e-12,
            "cache_read_input_token_cost":3e-12)");
    EXPECT_EQ(prices.input("m", kStandard), 4U);
    EXPECT_EQ(prices.input("m", kPriority), 8U);
    EXPECT_EQ(prices.input("m", kFlex), 2U);
    EXPECT_EQ(prices.input("m", kBatch), 1U);
    // without a price for the tier, a kind has its standard price
    EXPECT_EQ(prices.weights("m", kFlex).cached_input, 3000U);
    // without a price for any tier, a part costs what its whole does in this tier
    EXPECT_EQ(prices.weights("m", kFlex).cache_write, 2000U);
}

TEST(PriceFile, HasTheLargerPriceOfTierAndThresholdWithoutOneForBoth) {
    const TestPrices prices =
        model_with(R"("input_cost_per_token":4e-12,"input_cost_per_token_priority":8e-12,
            "input_cost_per_token_flex":2e-12,"input_cost_per_token_above_200k_tokens":6e-12)");
    EXPECT_EQ(prices.input("m", kPriority, 200'001), 8U);
    EXPECT_EQ(prices.input("m", kFlex, 200'001), 6U);
    EXPECT_EQ(prices.input("m", kBatch, 200'001), 6U);
    EXPECT_EQ(prices.input("m", kStandard, 200'001), 6U);
}

TEST(PriceFile, KeepsAPriceAboveAnotherKindsThreshold) {
    const TestPrices prices =
        model_with(R"("input_cost_per_token":1e-12,"input_cost_per_token_above_128k_tokens":2e-12,
            "input_cost_per_token_above_128k_tokens_flex":3e-12,
            "output_cost_per_token":5e-12,"output_cost_per_token_above_200k_tokens":7e-12)");
    EXPECT_EQ(prices.input("m", kStandard, 200'001), 2U);
    EXPECT_EQ(prices.input("m", kFlex, 200'001), 3U);
    EXPECT_EQ(prices.weights("m", kStandard, 128'001).output, 5000U);
    EXPECT_EQ(prices.weights("m", kStandard, 200'001).output, 7000U);
}

TEST(PriceFile, NeverMakesAKindFreeThatHasAPriceForOneTierOnly) {
    const TestPrices prices =
        model_with(R"("input_cost_per_token_batches":4e-12,"input_cost_per_token_priority":8e-12,
            "output_cost_per_token_above_200k_tokens":9e-12)");
    EXPECT_EQ(prices.input("m", kStandard), 8U);
    EXPECT_EQ(prices.input("m", kBatch), 4U);
    EXPECT_EQ(prices.weights("m").output, 9000U);
}

TEST(PriceFile, IgnoresUnknownFieldsWhateverTheyHold) {
    const TestPrices prices = model_with(R"("input_cost_per_token":1e-12,
        "input_cost_per_token_above_200k":"?","input_cost_per_token_above_0k_tokens":-1,
        "input_cost_per_token_above_1k_tokens_above_2k_tokens":null,"Input_cost_per_token":[],
        "input_cost_per_token_flex_priority":true,"input_cost_per_token_":{},
        "input_cost_per_token_above_1hr":{"input_cost_per_token":-5},
        "input_cost_per_token_above_9999999999k_tokens":"?",
        "tiered_pricing":[{"input_cost_per_token":2e-12,"range":[0,256000.0]}],
        "supports_vision":true,"source":"https://example.com","rpm":-1,"max_tokens":1e300)");
    EXPECT_EQ(prices.input("m"), 1U);
    EXPECT_EQ(prices.input("m", kStandard, kMaxAmount), 1U);
}

TEST(PriceFile, KnowsNoModelWithoutAPrice) {
    const TestPrices prices(R"({"priced":{"input_cost_per_token":0},"bare":{},
        "other":{"input_cost_per_pixel":1e-9,"max_tokens":8192,"supports_vision":true}})");
    EXPECT_TRUE(prices.has("priced"));
    EXPECT_FALSE(prices.has("bare"));
    EXPECT_FALSE(prices.has("other"));
}

TEST(PriceFile, TakesNoModelFromTheOtherEntriesOfLiteLlmsMap) {
    const TestPrices prices(R"({"sample_spec":{"input_cost_per_token":"the price","max_tokens":[]},
        "fallback_generalizations":["a",{"b":1}],"m":{"input_cost_per_token":1e-12}})");
    EXPECT_FALSE(prices.has("sample_spec"));
    EXPECT_FALSE(prices.has("fallback_generalizations"));
    EXPECT_TRUE(prices.has("m"));
}

TEST(PriceFile, ReplacesAModelWholeByALaterFile) {
    PriceBook book;
    EXPECT_EQ(read_prices(R"({"a":{"input_cost_per_token":1e-12,"output_cost_per_token":2e-12},
        "b":{"input_cost_per_token":3e-12},"c":{"input_cost_per_token":4e-12}})",
                          &book),
              "");
    EXPECT_EQ(read_prices(R"({"a":{"input_cost_per_token":5e-12},"b":{},
        "d":{"input_cost_per_token":6e-12}})",
                          &book),
              "");
    const TestPrices prices(book);
    EXPECT_EQ(book.models(), 3U);
    EXPECT_EQ(prices.input("a"), 5U);
    EXPECT_EQ(prices.weights("a").output, 0U);
    EXPECT_FALSE(prices.has("b"));
    EXPECT_EQ(prices.input("c"), 4U);
    EXPECT_EQ(prices.input("d"), 6U);
}

TEST(PriceFile, FindsAProvidersModelByItsShortName) {
    PriceBook book;
    EXPECT_EQ(read_prices(R"({"azure/gpt":{"input_cost_per_token":1e-12},
        "gpt":{"input_cost_per_token":2e-12},"azure/one":{"input_cost_per_token":3e-12},
        "azure/eu/two":{"input_cost_per_token":4e-12},"x/one":{"input_cost_per_token":5e-12},
        "x/azure/three":{"input_cost_per_token":6e-12},"azurex/four":{"input_cost_per_token":7e-12},
        "azure/":{"input_cost_per_token":8e-12},"gone":{},"azure/gone":{"input_cost_per_token":9e-12}})",
                          &book),
              "");
    book.add_provider("azure");
    book.add_provider("x");
    const TestPrices prices(book);
    EXPECT_EQ(prices.input("gpt"), 2U);
    EXPECT_EQ(prices.input("azure/gpt"), 1U);
    EXPECT_EQ(prices.input("one"), 3U);
    EXPECT_EQ(prices.input("x/one"), 5U);
    EXPECT_EQ(prices.input("eu/two"), 4U);
    EXPECT_EQ(prices.input("azure/three"), 6U);
    EXPECT_EQ(prices.input("one-2026-01-31"), 3U);
    EXPECT_EQ(prices.input("gone"), 9U);
    for (const std::string_view name : {"two", "three", "four", "/gpt", ""}) {
        EXPECT_FALSE(prices.has(name)) << name;
    }
}

TEST(PriceFile, PutsProvidersInTheirOrder) {
    PriceBook book;
    EXPECT_EQ(read_prices(R"({"a/m":{"input_cost_per_token":1e-12},
        "b/m":{"input_cost_per_token":2e-12}})",
                          &book),
              "");
    book.add_provider("b");
    book.add_provider("a");
    EXPECT_EQ(TestPrices(book).input("m"), 2U);
}

TEST(PriceFile, ReadsAFileWithAByteOrderMark) {
    EXPECT_EQ(TestPrices("\xEF\xBB\xBF{\"m\":{\"input_cost_per_token\":1e-12}}\n").input("m"), 1U);
}

TEST(PriceFile, ReadsPromptsOfUpToEightSizes) {
    std::string fields = R"("input_cost_per_token":1e-12)";
    for (int i = 8; i >= 1; --i) {
        fields += ",\"input_cost_per_token_above_" + std::to_string(i) +
                  "k_tokens\":" + std::to_string(i + 1) + "e-12";
    }
    const TestPrices prices = model_with(fields);
    for (unsigned i = 0; i <= 8; ++i) {
        EXPECT_EQ(prices.input("m", kStandard, i * 1000 + 1), i + 1);
        EXPECT_EQ(prices.input("m", kFlex, i * 1000 + 1), i + 1);
    }
}

}  // namespace
}  // namespace ai_limit
