#include "core/words/text_writer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>

namespace ai_limit {
namespace {

std::string written(const std::function<void(TextWriter&)>& write) {
    char buffer[512];
    TextWriter out(buffer, sizeof buffer);
    write(out);
    EXPECT_FALSE(out.overflowed());
    return std::string(out.view());
}

std::string number(uint64_t value) {
    return written([&](TextWriter& out) { out.number(value); });
}

std::string seconds(Millis length) {
    return written([&](TextWriter& out) { out.seconds(length); });
}

std::string whole_seconds(Millis length) {
    return written([&](TextWriter& out) { out.whole_seconds(length); });
}

std::string json(std::string_view text) {
    return written([&](TextWriter& out) { out.json(text); });
}

TEST(TextWriter, WritesNumbersAsTheStandardLibraryDoes) {
    for (uint64_t value = 0; value < 100'000; value++) {
        ASSERT_EQ(number(value), std::to_string(value));
    }
}

TEST(TextWriter, WritesNumbersAroundPowersOfTwoAndTenExactly) {
    for (unsigned bit = 0; bit < 64; bit++) {
        const uint64_t power = uint64_t{1} << bit;
        EXPECT_EQ(number(power - 1), std::to_string(power - 1));
        EXPECT_EQ(number(power), std::to_string(power));
        EXPECT_EQ(number(power + 1), std::to_string(power + 1));
    }
    uint64_t power = 1;
    for (int digits = 1; digits <= 20; digits++, power *= 10) {
        EXPECT_EQ(number(power - 1), std::to_string(power - 1));
        EXPECT_EQ(number(power), std::to_string(power));
        EXPECT_EQ(number(power + 1), std::to_string(power + 1));
    }
    EXPECT_EQ(number(UINT64_MAX), "18446744073709551615");
}

TEST(TextWriter, WritesSecondsWithOnlyTheDecimalsTheyNeed) {
    EXPECT_EQ(seconds(0), "0");
    EXPECT_EQ(seconds(1), "0.001");
    EXPECT_EQ(seconds(10), "0.01");
    EXPECT_EQ(seconds(100), "0.1");
    EXPECT_EQ(seconds(120), "0.12");
    EXPECT_EQ(seconds(999), "0.999");
    EXPECT_EQ(seconds(1000), "1");
    EXPECT_EQ(seconds(1001), "1.001");
    EXPECT_EQ(seconds(1010), "1.01");
    EXPECT_EQ(seconds(1500), "1.5");
    EXPECT_EQ(seconds(26'604), "26.604");
    EXPECT_EQ(seconds(3'600'000), "3600");
    EXPECT_EQ(seconds(INT64_MAX), "9223372036854775.807");
}

TEST(TextWriter, WritesPastSecondsAsZero) {
    EXPECT_EQ(seconds(-1), "0");
    EXPECT_EQ(seconds(INT64_MIN), "0");
    EXPECT_EQ(whole_seconds(-1), "0");
    EXPECT_EQ(whole_seconds(INT64_MIN), "0");
}

TEST(TextWriter, RoundsWholeSecondsUp) {
    EXPECT_EQ(whole_seconds(0), "0");
    EXPECT_EQ(whole_seconds(1), "1");
    EXPECT_EQ(whole_seconds(999), "1");
    EXPECT_EQ(whole_seconds(1000), "1");
    EXPECT_EQ(whole_seconds(1001), "2");
    EXPECT_EQ(whole_seconds(59'999), "60");
    EXPECT_EQ(whole_seconds(60'000), "60");
}

TEST(TextWriter, CapsSecondsForStructuredFields) {
    EXPECT_EQ(whole_seconds(999'999'999'999'999'000), "999999999999999");
    EXPECT_EQ(whole_seconds(999'999'999'999'999'001), "999999999999999");
    EXPECT_EQ(whole_seconds(kNever), "999999999999999");
}

TEST(TextWriter, KeepsTheZeroOfTwoDigits) {
    EXPECT_EQ(written([](TextWriter& out) {
                  out.two_digits(0);
                  out.two_digits(7);
                  out.two_digits(59);
              }),
              "000759");
}

TEST(TextWriter, EscapesQuotesBackslashesAndControlsInJson) {
    EXPECT_EQ(json("user-1.a_b"), "user-1.a_b");
    EXPECT_EQ(json(R"(a"b\c)"), R"(a\"b\\c)");
    EXPECT_EQ(json("\n\x1f\x7f"), "\\u000a\\u001f\x7f");
    EXPECT_EQ(json(std::string_view("\0x", 2)), "\\u0000x");
    EXPECT_EQ(json(""), "");
}

TEST(TextWriter, KeepsUtf8InJson) {
    const std::string_view text = "\u00e9\u20ac\U0001F600 \u07ff\u0800\ue000\U0010ffff";
    EXPECT_EQ(json(text), text);
}

TEST(TextWriter, ReplacesInvalidUtf8InJson) {
    const std::string one = "\\ufffd";
    EXPECT_EQ(json("a\xff"
                   "b"),
              "a" + one + "b");
    EXPECT_EQ(json("\x80"), one);
    EXPECT_EQ(json("\xc1\x81"), one + one) << "overlong";
    EXPECT_EQ(json("\xe0\x80\x80"), one + one + one) << "overlong";
    EXPECT_EQ(json("\xf0\x8f\xbf\xbf"), one + one + one + one) << "overlong";
    EXPECT_EQ(json("\xed\xa0\x80"), one + one + one) << "surrogate";
    EXPECT_EQ(json("\xf4\x90\x80\x80"), one + one + one + one) << "beyond U+10FFFF";
    EXPECT_EQ(json("\xf5\x80\x80\x80"), one + one + one + one) << "beyond U+10FFFF";
    EXPECT_EQ(json("\xe2\x82"), one + one) << "cut short";
    EXPECT_EQ(json("\xc3\""), one + "\\\"") << "cut short by a quote";
}

TEST(TextWriter, AcceptsWhatFitsExactly) {
    char buffer[5];
    TextWriter out(buffer, sizeof buffer);
    out.text("ab");
    out.number(123);
    EXPECT_FALSE(out.overflowed());
    EXPECT_EQ(out.view(), "ab123");
}

TEST(TextWriter, FitsTheEmptyTextIntoABufferOfZero) {
    TextWriter out(nullptr, 0);
    out.text("");
    out.json("");
    EXPECT_FALSE(out.overflowed());
    out.number(0);
    EXPECT_TRUE(out.overflowed());
    EXPECT_EQ(out.view(), "");
}

TEST(TextWriter, WritesNothingAfterWhatDidNotFit) {
    char buffer[4];
    TextWriter out(buffer, sizeof buffer);
    out.text("ab");
    out.number(1234);
    EXPECT_TRUE(out.overflowed());
    out.text("c");
    out.number(5);
    EXPECT_TRUE(out.overflowed());
    EXPECT_EQ(out.view(), "ab");
}

TEST(TextWriter, NeverWritesPastTheEnd) {
    const auto write_all = [](TextWriter& out) {
        out.text("text");
        out.number(18446744073709551615U);
        out.seconds(26'604);
        out.two_digits(42);
        out.json("a\"\n\xff\u20ac");
        out.whole_seconds(1);
    };
    const std::string whole = written(write_all);
    for (size_t size = 0; size <= whole.size(); size++) {
        std::string buffer(size + 8, '#');
        TextWriter out(buffer.data(), size);
        write_all(out);
        EXPECT_EQ(out.overflowed(), size < whole.size());
        EXPECT_EQ(out.view(), whole.substr(0, out.view().size()));
        EXPECT_EQ(buffer.substr(size), "########");
    }
}

TEST(TextWriter, TakesWhatCameSinceTheLastTake) {
    char buffer[8];
    TextWriter out(buffer, sizeof buffer);
    out.number(60);
    EXPECT_EQ(out.take(), "60");
    out.text("abc");
    EXPECT_EQ(out.take(), "abc");
    EXPECT_EQ(out.take(), "");
    EXPECT_EQ(out.view(), "60abc");
}

}  // namespace
}  // namespace ai_limit
