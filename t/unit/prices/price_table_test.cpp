#include "core/prices/price_table.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "prices/price_tables.h"

namespace ai_limit {
namespace {

TEST(PriceTable, FindsAModelByItsWholeName) {
    const TestPrices prices(R"({"gpt-4o":{"input_cost_per_token":1e-6},
        "gpt-4o-mini":{"input_cost_per_token":2e-6},"GPT-4o":{"input_cost_per_token":3e-6}})");
    EXPECT_EQ(prices.input("gpt-4o"), 1'000'000U);
    EXPECT_EQ(prices.input("gpt-4o-mini"), 2'000'000U);
    EXPECT_EQ(prices.input("GPT-4o"), 3'000'000U);
    for (const std::string_view name :
         {"", "gpt-4", "gpt-4o-", "gpt-4o-min", "gpt-4O", " gpt-4o"}) {
        EXPECT_FALSE(prices.has(name)) << name;
    }
    EXPECT_FALSE(prices.has(std::string_view("gpt-4o\0", 7)));
}

TEST(PriceTable, FindsAModelByItsNumberInAnotherTable) {
    const TestPrices before(R"({"gpt-4o":{"input_cost_per_token":1e-6},"x":{}})");
    const TestPrices after(R"({"a":{"input_cost_per_token":9e-6},"b":{"input_cost_per_token":9e-6},
        "gpt-4o":{"input_cost_per_token":2e-6},"c":{"input_cost_per_token":9e-6}})");
    const uint64_t number = before.table().number_of("gpt-4o");
    EXPECT_NE(number, 0U);
    EXPECT_EQ(before.table().number_of("gpt-4o-2024-08-06"), number);
    EXPECT_EQ(after.table().find_by_number(number), after.table().find("gpt-4o"));
    EXPECT_EQ(before.table().number_of("unheard-of"), 0U);
    EXPECT_EQ(before.table().find_by_number(0), nullptr);
    EXPECT_EQ(before.table().find_by_number(number + 1), nullptr);
    EXPECT_EQ(before.table().find_by_number(number ^ uint64_t{1} << 63), nullptr);
    EXPECT_EQ(before.table().find_by_number(after.table().number_of("a")), nullptr);
    EXPECT_EQ(PriceTable().find_by_number(number), nullptr);
}

TEST(PriceTable, FindsNothingInAnEmptyTable) {
    EXPECT_EQ(PriceTable().find("gpt-4o"), nullptr);
    const TestPrices none("{}");
    EXPECT_FALSE(none.has("gpt-4o"));
    EXPECT_FALSE(none.has("gpt-4o-2024-08-06"));
}

TEST(PriceTable, FindsANameOfAnyBytes) {
    const TestPrices prices(R"({"a\u0000\n\"\\\u00e9":{"input_cost_per_token":1e-6}})");
    EXPECT_TRUE(prices.has(std::string_view("a\0\n\"\\\xC3\xA9", 7)));
    EXPECT_FALSE(prices.has("a"));
}

TEST(PriceTable, FindsNoNameOfSixtyThousandBytes) {
    const std::string longest(kMaxPricedName, 'x');
    const TestPrices prices("{\"" + longest + "\":{\"input_cost_per_token\":1e-6}}");
    EXPECT_TRUE(prices.has(longest));
    EXPECT_TRUE(prices.has(longest + "-20240806"));
    EXPECT_FALSE(prices.has(longest + "x"));
    EXPECT_FALSE(prices.has(std::string(60'000, 'x')));
}

TEST(PriceTable, FindsAModelWithoutItsDate) {
    const TestPrices prices(R"({"gpt-4o":{"input_cost_per_token":1e-6},
        "gpt-4o-2024-05-13":{"input_cost_per_token":5e-6}})");
    for (const std::string_view name :
         {"gpt-4o-2024-08-06", "gpt-4o-20240806", "gpt-4o@20240806"}) {
        EXPECT_EQ(prices.input(name), 1'000'000U) << name;
    }
    EXPECT_EQ(prices.input("gpt-4o-2024-05-13"), 5'000'000U);
}

TEST(PriceTable, TakesNothingButADateFromAName) {
    EXPECT_EQ(without_date("gpt-4o-2024-08-06"), "gpt-4o");
    EXPECT_EQ(without_date("claude@20240620"), "claude");
    for (const std::string_view name : {"gpt-4o-0806",
                                        "gpt-4o-2024-08",
                                        "gpt-4o-latest",
                                        "gpt-4o-v1",
                                        "gpt-4o-20240806-v1:0",
                                        "gpt-4o-2024-8-06",
                                        "gpt-4o-2024_08_06",
                                        "gpt-4o@2024-08-06",
                                        "gpt-4o/20240806",
                                        "gpt-4o20240806",
                                        "gpt-4o-20241306",
                                        "gpt-4o-20240800",
                                        "gpt-4o-20240832",
                                        "gpt-4o-19990806",
                                        "gpt-4o-2024-00-06",
                                        "gpt-4o:20240806",
                                        "gpt-4o-2024080:",
                                        "gpt-4o-2024/806",
                                        "-20240806",
                                        "-2024-08-06",
                                        "@20240806",
                                        "20240806",
                                        ""}) {
        EXPECT_EQ(without_date(name), name);
    }
    EXPECT_EQ(without_date("a-20240806-20240807"), "a-20240806");
}

TEST(PriceTable, HasTiersByTheNamesOfProviders) {
    EXPECT_EQ(tier_of("priority"), PriceTier::kPriority);
    EXPECT_EQ(tier_of("PRIORITY"), PriceTier::kPriority);
    EXPECT_EQ(tier_of("fast"), PriceTier::kPriority);
    EXPECT_EQ(tier_of("flex"), PriceTier::kFlex);
    EXPECT_EQ(tier_of("batch"), PriceTier::kBatch);
    EXPECT_EQ(tier_of("batches"), PriceTier::kBatch);
    for (const std::string_view name :
         {"", "default", "standard", "auto", "scale", "priorit", "priority2"}) {
        EXPECT_EQ(tier_of(name), PriceTier::kStandard) << name;
    }
}

TEST(PriceTable, ChargesAWholePromptAboveAThresholdMore) {
    const TestPrices prices(R"({"m":{"input_cost_per_token":1e-6,
        "input_cost_per_token_above_200k_tokens":2e-6,
        "input_cost_per_token_above_1000k_tokens":3e-6}})");
    constexpr PriceTier kStandard = PriceTier::kStandard;
    EXPECT_EQ(prices.input("m", kStandard, 200'000), 1'000'000U);
    EXPECT_EQ(prices.input("m", kStandard, 200'001), 2'000'000U);
    EXPECT_EQ(prices.input("m", kStandard, 1'000'000), 2'000'000U);
    EXPECT_EQ(prices.input("m", kStandard, 1'000'001), 3'000'000U);
    EXPECT_EQ(prices.input("m", kStandard, kMaxAmount), 3'000'000U);
}

TEST(PriceTable, WorksWhereverItsMemoryIs) {
    PriceBook book;
    EXPECT_EQ(read_prices(R"({"m":{"input_cost_per_token":1e-6}})", &book), "");
    std::vector<uint64_t> first((book.bytes() + 7) / 8);
    book.build(first.data());
    const std::vector<uint64_t> second = first;
    first.assign(first.size(), 0);
    const PriceTable table(second.data());
    ASSERT_NE(table.find("m"), nullptr);
    EXPECT_EQ(table.weights_of(*table.find("m"), PriceTier::kFlex, 5).input, 1'000'000'000U);
}

TEST(PriceTable, WeighsInMillionthsOfADollar) {
    const TestPrices prices(R"({"m":{"input_cost_per_token":2.5e-6,"output_cost_per_token":1e-5,
        "cache_read_input_token_cost":1.25e-6}})");
    // 900*2.5 + 100*1.25 + 20*10
    EXPECT_EQ(weigh({1000, 20, 100}, prices.weights("m")), 2575U);
    EXPECT_EQ(weigh({1, 0, 0}, prices.weights("m")), 3U);
}

TEST(PriceTable, WeighsTheHighestPricesWithoutOverflow) {
    const TestPrices prices(R"({"m":{"input_cost_per_token":1000,"output_cost_per_token":1000,
        "output_cost_per_image":1000,"input_cost_per_second":1000,
        "search_context_cost_per_query":1000}})");
    TokenCounts counts{UINT64_MAX, UINT64_MAX};
    counts.images = counts.searches = counts.seconds = UINT64_MAX;
    EXPECT_EQ(weigh(counts, prices.weights("m")), kMaxAmount);
    EXPECT_EQ(weigh({3, 0, 0}, prices.weights("m")), 3'000'000'000U);
}

}  // namespace
}  // namespace ai_limit
