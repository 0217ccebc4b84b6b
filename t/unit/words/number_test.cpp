#include "core/words/number.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "random.h"

namespace ai_limit {
namespace {

constexpr Amount kUntouched = 77;

Amount whole(std::string_view text, Amount max = kMaxAmount) {
    Amount value = kUntouched;
    EXPECT_TRUE(read_whole(text, max, &value)) << text;
    return value;
}

TEST(ReadWhole, ReadsDecimalDigits) {
    EXPECT_EQ(whole("0"), 0U);
    EXPECT_EQ(whole("7"), 7U);
    EXPECT_EQ(whole("1234567890"), 1'234'567'890U);
    EXPECT_EQ(whole("1000000000000"), kMaxAmount);
}

TEST(ReadWhole, IgnoresLeadingZeros) {
    EXPECT_EQ(whole("007"), 7U);
    EXPECT_EQ(whole(std::string(100, '0')), 0U);
    EXPECT_EQ(whole(std::string(100, '0') + "42"), 42U);
}

TEST(ReadWhole, CapsANumberAtTheMaximum) {
    EXPECT_EQ(whole("9", 10), 9U);
    EXPECT_EQ(whole("10", 10), 10U);
    EXPECT_EQ(whole("11", 10), 10U);
    EXPECT_EQ(whole("5", 0), 0U);
    EXPECT_EQ(whole("1000000000001"), kMaxAmount);
    EXPECT_EQ(whole("18446744073709551615"), kMaxAmount);
    EXPECT_EQ(whole("18446744073709551617"), kMaxAmount);  // 1 where 64 bits wrap
    EXPECT_EQ(whole(std::string(1000, '9'), 12), 12U);
    EXPECT_EQ(whole("1" + std::string(1000, '0'), 12), 12U);
}

TEST(ReadWhole, CapsTheMaximumAtTheLargestAmount) {
    EXPECT_EQ(whole("99999999999999", UINT64_MAX), kMaxAmount);
    EXPECT_EQ(whole(std::string(1000, '9'), UINT64_MAX), kMaxAmount);
}

TEST(ReadWhole, RefusesInvalidNumbersAndLeavesTheValueUnchanged) {
    for (const std::string_view text :
         {"", " ", "a", "-1", "+1", " 1", "1 ", "1.0", "1.", ".1", "1e3", "0x10", "1k", "1_000",
          "1,000", "9999999999999999999x", "\xD9\xA1", "/", ":"}) {
        Amount value = kUntouched;
        EXPECT_FALSE(read_whole(text, kMaxAmount, &value)) << text;
        EXPECT_EQ(value, kUntouched) << text;
    }
    Amount value = kUntouched;
    EXPECT_FALSE(read_whole({"1\0", 2}, kMaxAmount, &value));
    EXPECT_EQ(value, kUntouched);
}

TEST(ReadWhole, ReadsBackEveryNumberThatFits) {
    Random random(1);
    for (int i = 0; i < 100'000; ++i) {
        const Amount max = random.scaled(kMaxAmount);
        const Amount number = random.scaled(UINT64_MAX);
        const std::string text = std::string(random.below(4), '0') + std::to_string(number);
        ASSERT_EQ(whole(text, max), number < max ? number : max) << text << ", at most " << max;
    }
}

TEST(ReadDigits, ReadsTheLeadingDigitsAndLeavesTheRest) {
    std::string_view text = "0120r/m";
    uint64_t value = kUntouched;
    unsigned digits = 0;
    ASSERT_TRUE(read_digits(&text, &value, &digits));
    EXPECT_EQ(value, 120U);
    EXPECT_EQ(digits, 4U);
    EXPECT_EQ(text, "r/m");

    text = "5";
    ASSERT_TRUE(read_digits(&text, &value, &digits));
    EXPECT_EQ(value, 5U);
    EXPECT_EQ(text, "");
}

TEST(ReadToldCount, RoundsUpAndCaps) {
    const std::pair<std::string_view, Amount> counts[] = {
        {"0", 0},
        {"12", 12},
        {"12.0", 12},
        {"37.25", 38},
        {"0.0001", 1},
        {"1.2e1", 12},
        {"1.25E1", 13},
        {"12e-1", 2},
        {"1e12", kMaxAmount},
        {"1e400", kMaxAmount},
        {"0e99999", 0},
        {"1e-999", 1},
        {"1000000000001", kMaxAmount},
        {"99999999999999999999999999", kMaxAmount},
        {"0.33333333333333333333333333333333", 1},
        {"3.000000000000000000000000000001", 4},
        {"3.000000000000000000000000000000", 3},
    };
    for (const auto& [text, expected] : counts) {
        Amount value = kUntouched;
        EXPECT_TRUE(read_reported_count(text, &value)) << text;
        EXPECT_EQ(value, expected) << text;
    }
    for (const std::string_view none : {"", "-5", "many", "1.5x", "0x10", " 1", "1 ", "e5", "+1"}) {
        Amount value = kUntouched;
        EXPECT_FALSE(read_reported_count(none, &value)) << none;
        EXPECT_EQ(value, kUntouched);
    }
}

TEST(ReadDigits, ReadsAtMostEighteenDigits) {
    std::string_view text = "999999999999999999.";
    uint64_t value = 0;
    unsigned digits = 0;
    ASSERT_TRUE(read_digits(&text, &value, &digits));
    EXPECT_EQ(value, 999'999'999'999'999'999U);
    EXPECT_EQ(digits, 18U);
    EXPECT_EQ(text, ".");

    text = "1000000000000000000";
    EXPECT_FALSE(read_digits(&text, &value, &digits));
    text = "0000000000000000000";
    EXPECT_FALSE(read_digits(&text, &value, &digits));
}

TEST(ReadDigits, FailsIfThereAreNone) {
    for (const std::string_view none : {"", "r/m", "-1", ".5", " 5"}) {
        std::string_view text = none;
        uint64_t value = kUntouched;
        unsigned digits = 3;
        EXPECT_FALSE(read_digits(&text, &value, &digits)) << none;
        EXPECT_EQ(text, none);
        EXPECT_EQ(value, kUntouched);
        EXPECT_EQ(digits, 3U);
    }
}

}  // namespace
}  // namespace ai_limit
