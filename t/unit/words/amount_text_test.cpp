#include "core/words/amount_text.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "random.h"

namespace ai_limit {
namespace {

constexpr Measure kMeasureWithoutMoney[] = {Measure::kRequests, Measure::kTokens,
                                            Measure::kInFlight};

std::string amount(Measure measure, uint64_t value) {
    char buffer[kMaxAmountText];
    TextWriter out(buffer, sizeof buffer);
    write_amount(measure, value, out);
    EXPECT_FALSE(out.overflowed()) << value;
    return std::string(out.view());
}

std::string with_unit(Measure measure, uint64_t value) {
    char buffer[64];
    TextWriter out(buffer, sizeof buffer);
    write_amount_and_unit(measure, value, out);
    EXPECT_FALSE(out.overflowed()) << value;
    return std::string(out.view());
}

/** A number as it counts for a policy; "" if it is none. */
std::string counted(std::string_view text, Measure measure) {
    WrittenAmount written{};
    Amount value = 0;
    return read_amount(text, &written) && amount_of(written, measure, &value)
               ? std::to_string(value)
               : "";
}

TEST(AmountText, WritesMoneyInDollarsWithTheDecimalsThatItNeeds) {
    EXPECT_EQ(amount(Measure::kMoney, 0), "0");
    EXPECT_EQ(amount(Measure::kMoney, 1), "0.000001");
    EXPECT_EQ(amount(Measure::kMoney, 500'000), "0.5");
    EXPECT_EQ(amount(Measure::kMoney, 4'873'215), "4.873215");
    EXPECT_EQ(amount(Measure::kMoney, 20'000'000), "20");
    EXPECT_EQ(amount(Measure::kMoney, 20'010'000), "20.01");
    EXPECT_EQ(amount(Measure::kMoney, 10'203'040), "10.20304");
    EXPECT_EQ(amount(Measure::kMoney, kMaxAmount), "1000000");
    EXPECT_EQ(amount(Measure::kMoney, kMaxAmount - 1), "999999.999999");
    EXPECT_EQ(amount(Measure::kMoney, UINT64_MAX), "18446744073709.551615");
}

TEST(AmountText, WritesEverythingElseAsItIs) {
    for (const Measure measure : kMeasureWithoutMoney) {
        EXPECT_EQ(amount(measure, 0), "0");
        EXPECT_EQ(amount(measure, 4'873'215), "4873215");
        EXPECT_EQ(amount(measure, UINT64_MAX), "18446744073709551615");
    }
}

TEST(AmountText, NamesTheUnit) {
    EXPECT_EQ(with_unit(Measure::kRequests, 60), "60 requests");
    EXPECT_EQ(with_unit(Measure::kRequests, 1), "1 request");
    EXPECT_EQ(with_unit(Measure::kTokens, 0), "0 tokens");
    EXPECT_EQ(with_unit(Measure::kInFlight, 4), "4 concurrent requests");
    EXPECT_EQ(with_unit(Measure::kMoney, 20'000'000), "20 USD");
    EXPECT_EQ(with_unit(Measure::kMoney, 1), "0.000001 USD");
}

TEST(AmountText, ReadsDollarsForMoney) {
    EXPECT_EQ(counted("5", Measure::kMoney), "5000000");
    EXPECT_EQ(counted("5usd", Measure::kMoney), "5000000");
    EXPECT_EQ(counted("0.05", Measure::kMoney), "50000");
    EXPECT_EQ(counted("0.05usd", Measure::kMoney), "50000");
    EXPECT_EQ(counted("4.873215", Measure::kMoney), "4873215");
    EXPECT_EQ(counted("0.000001", Measure::kMoney), "1");
    EXPECT_EQ(counted("0", Measure::kMoney), "0");
}

TEST(AmountText, ReadsOnlyWholeNumbersForEverythingElse) {
    for (const Measure measure : kMeasureWithoutMoney) {
        EXPECT_EQ(counted("5", measure), "5");
        EXPECT_EQ(counted("5.0", measure), "5");
        EXPECT_EQ(counted("0.05", measure), "");
        EXPECT_EQ(counted("5usd", measure), "");
    }
}

TEST(AmountText, RoundsUpWhatIsNoAmountOfTheMeasure) {
    WrittenAmount written{};
    Amount tokens = 0;
    ASSERT_TRUE(read_amount("2.000001", &written));
    EXPECT_FALSE(amount_of(written, Measure::kTokens, &tokens));
    EXPECT_EQ(tokens, 3U);
}

TEST(AmountText, TakesMoreThanTheMostForTheMost) {
    const std::string most = std::to_string(kMaxAmount);
    for (const char* text : {"1000000000000", "1000000000000.5", "99999999999999999999999"}) {
        EXPECT_EQ(counted(text, Measure::kTokens), most) << text;
        EXPECT_EQ(counted(text, Measure::kMoney), most) << text;
    }
    EXPECT_EQ(counted("1000001", Measure::kMoney), most);
    EXPECT_EQ(counted("999999999999.999999", Measure::kMoney), most);
}

TEST(AmountText, RefusesEverythingElse) {
    for (const char* text :
         {"", ".", ".5", "5.", "-1", "+1", " 5", "5 ", "5USD", "usd", "$5", "5 usd", "5usd/d",
          "0.0000001", "1.0000000", "1e3", "5k", "1,5", "1.5.5"}) {
        WrittenAmount written = {77, true};
        EXPECT_FALSE(read_amount(text, &written)) << text;
        EXPECT_EQ(written.millionths, 77U) << text;
    }
}

TEST(AmountText, ReadsBackWhatItWrites) {
    Random random(7);
    for (int i = 0; i < 10'000; ++i) {
        const Amount value = random.scaled(kMaxAmount);
        for (const Measure measure : {Measure::kMoney, Measure::kTokens}) {
            ASSERT_EQ(counted(amount(measure, value), measure), std::to_string(value));
        }
    }
}

}  // namespace
}  // namespace ai_limit
