#include "prices/large_price_map.h"

#include <gtest/gtest.h>

#include "prices/price_tables.h"

namespace ai_limit {
namespace {

constexpr size_t kMegabyte = 1'000'000;

TEST(PriceMap, HasTheSizeOfLiteLlmsMap) {
    const LargePriceMap map;
    EXPECT_GT(map.text().size(), kMegabyte * 15 / 10);
    EXPECT_LT(map.text().size(), kMegabyte * 17 / 10);
    EXPECT_EQ(map.text(), LargePriceMap().text());
}

TEST(PriceMap, FitsIntoTwoMegabytesWithAllItsShortNames) {
    const LargePriceMap map;
    PriceBook book;
    ASSERT_EQ(read_prices(map.text(), &book), "");
    for (const char* provider : {"azure", "bedrock", "vertex_ai", "openrouter", "gemini"}) {
        book.add_provider(provider);
    }
    EXPECT_EQ(book.models(), map.names().size());
    EXPECT_LE(book.bytes(), 2 * kMegabyte);
    const TestPrices prices(book);
    for (const std::string& name : map.names()) {
        ASSERT_TRUE(prices.has(name)) << name;
    }
}

}  // namespace
}  // namespace ai_limit
