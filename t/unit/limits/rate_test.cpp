#include "core/limits/rate.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <numeric>
#include <ostream>
#include <string>
#include <vector>

#include "random.h"

namespace ai_limit {
namespace {

__extension__ typedef unsigned __int128 Wide;

constexpr Millis kSecond = 1000;
constexpr Millis kMinute = 60 * kSecond;
constexpr Millis kHour = 60 * kMinute;
constexpr Millis kDay = 24 * kHour;
constexpr Millis kWeek = 7 * kDay;
constexpr Millis kMonth = 30 * kDay;

constexpr uint64_t kRefillMillisEnd = uint64_t{1} << 36;

/** All of a rate as one line, so that a difference can be read. */
std::string shown(const Rate& rate) {
    static constexpr const char* kUnits[] = {"s", "m", "h", "d", "w", "month"};
    return std::string(facts_of(rate.measure).rate_word) + "/" + std::to_string(rate.period.count) +
           kUnits[static_cast<size_t>(rate.period.unit)] + "=" +
           std::to_string(rate.period_length) + "ms quota=" + std::to_string(rate.quota) +
           (rate.whole ? "" : " (rounded up)") + " refill=" + std::to_string(rate.refill_amount) +
           "/" + std::to_string(rate.refill_millis) + "ms";
}

std::string parsed(std::string_view text) {
    Rate rate{};
    const char* error = parse_rate(text, &rate);
    return error != nullptr ? std::string("error: ") + error : shown(rate);
}

std::string error_of(std::string_view text) {
    Rate rate{};
    const char* error = parse_rate(text, &rate);
    EXPECT_NE(error, nullptr) << text << " is taken for " << shown(rate);
    return error != nullptr ? error : "";
}

struct Good {
    const char* text;
    Measure measure;
    Period period;
    Millis length;
    Amount quota;
    bool whole;
    uint64_t refill_amount;
    uint64_t refill_millis;
};

void PrintTo(const Good& good, std::ostream* out) {
    *out << good.text;
}

class GoodRate : public testing::TestWithParam<Good> {};

TEST_P(GoodRate, IsReadExactly) {
    const Good& good = GetParam();
    const Rate expected = {good.measure, good.period,        good.length,       good.quota,
                           good.whole,   good.refill_amount, good.refill_millis};
    EXPECT_EQ(parsed(good.text), shown(expected));
}

constexpr Measure kR = Measure::kRequests;
constexpr Measure kT = Measure::kTokens;
constexpr Measure kUsd = Measure::kMoney;
using Unit = PeriodUnit;

const Good kGood[] = {
    {"60r/m", kR, {1, Unit::kMinute}, kMinute, 60, true, 1, 1000},
    {"1r/m", kR, {1, Unit::kMinute}, kMinute, 1, true, 1, 60'000},
    {"0.5r/s", kR, {1, Unit::kSecond}, kSecond, 1, false, 1, 2000},
    {"1000r/h", kR, {1, Unit::kHour}, kHour, 1000, true, 1, 3600},
    {"100r/15m", kR, {15, Unit::kMinute}, 15 * kMinute, 100, true, 1, 9000},
    {"100kt/m", kT, {1, Unit::kMinute}, kMinute, 100'000, true, 5, 3},
    {"2Mt/d", kT, {1, Unit::kDay}, kDay, 2'000'000, true, 5, 216},
    {"10kt/d", kT, {1, Unit::kDay}, kDay, 10'000, true, 1, 8640},
    {"10Kt/d", kT, {1, Unit::kDay}, kDay, 10'000, true, 1, 8640},
    {"20usd/d", kUsd, {1, Unit::kDay}, kDay, 20'000'000, true, 25, 108},
    {"0.5usd/h", kUsd, {1, Unit::kHour}, kHour, 500'000, true, 5, 36},
    {"1kusd/month", kUsd, {1, Unit::kMonth}, kMonth, 1'000'000'000, true, 125, 324},
    {"1Musd/month", kUsd, {1, Unit::kMonth}, kMonth, kMaxAmount, true, 31'250, 81},
    {"1000000usd/s", kUsd, {1, Unit::kSecond}, kSecond, kMaxAmount, true, 1'000'000'000, 1},
    {"0.000000001kusd/d", kUsd, {1, Unit::kDay}, kDay, 1, true, 1, 86'400'000},
    {"0.000001usd/d", kUsd, {1, Unit::kDay}, kDay, 1, true, 1, 86'400'000},
    {"4.873215usd/2h", kUsd, {2, Unit::kHour}, 2 * kHour, 4'873'215, true, 324'881, 480'000},
    {"0usd/d", kUsd, {1, Unit::kDay}, kDay, 0, true, 0, 1},
    {"1r/month", kR, {1, Unit::kMonth}, kMonth, 1, true, 1, 2'592'000'000},
    {"7r/month", kR, {1, Unit::kMonth}, kMonth, 7, true, 7, 2'592'000'000},
    {"1.5kr/h", kR, {1, Unit::kHour}, kHour, 1500, true, 1, 2400},
    {"0.0015kr/h", kR, {1, Unit::kHour}, kHour, 2, false, 1, 2'400'000},
    {"1.25Mt/w", kT, {1, Unit::kWeek}, kWeek, 1'250'000, true, 25, 12'096},
    {"1Gt/month", kT, {1, Unit::kMonth}, kMonth, 1'000'000'000, true, 125, 324},
    {"1000000r/s", kR, {1, Unit::kSecond}, kSecond, 1'000'000, true, 1000, 1},
    {"1Mr/s", kR, {1, Unit::kSecond}, kSecond, 1'000'000, true, 1000, 1},
    {"1000Gt/s", kT, {1, Unit::kSecond}, kSecond, kMaxAmount, true, 1'000'000'000, 1},
    {"1000000000000t/s", kT, {1, Unit::kSecond}, kSecond, kMaxAmount, true, 1'000'000'000, 1},
    {"1000Gr/366d", kR, {366, Unit::kDay}, 366 * kDay, kMaxAmount, true, 156'250, 4941},
    {"3r/7s", kR, {7, Unit::kSecond}, 7 * kSecond, 3, true, 3, 7000},
    {"1r/1s", kR, {1, Unit::kSecond}, kSecond, 1, true, 1, 1000},
    {"1r/007s", kR, {7, Unit::kSecond}, 7 * kSecond, 1, true, 1, 7000},
    {"060r/m", kR, {1, Unit::kMinute}, kMinute, 60, true, 1, 1000},
    {"60.0r/m", kR, {1, Unit::kMinute}, kMinute, 60, true, 1, 1000},
    {"60.000000000r/m", kR, {1, Unit::kMinute}, kMinute, 60, true, 1, 1000},
    {"0.1r/s", kR, {1, Unit::kSecond}, kSecond, 1, false, 1, 10'000},
    {"1.1r/s", kR, {1, Unit::kSecond}, kSecond, 2, false, 11, 10'000},
    {"0.999999r/s", kR, {1, Unit::kSecond}, kSecond, 1, false, 999'999, 1'000'000'000},
    {"0.000001Mr/s", kR, {1, Unit::kSecond}, kSecond, 1, true, 1, 1000},
    {"0.000000001Gr/s", kR, {1, Unit::kSecond}, kSecond, 1, true, 1, 1000},
    {"0r/s", kR, {1, Unit::kSecond}, kSecond, 0, true, 0, 1},
    {"0.000t/month", kT, {1, Unit::kMonth}, kMonth, 0, true, 0, 1},
    {"0Gr/d", kR, {1, Unit::kDay}, kDay, 0, true, 0, 1},
    {"0.05r/month", kR, {1, Unit::kMonth}, kMonth, 1, false, 1, 51'840'000'000},
    {"1r/12month", kR, {12, Unit::kMonth}, 12 * kMonth, 1, true, 1, 31'104'000'000},
    {"1r/52w", kR, {52, Unit::kWeek}, 52 * kWeek, 1, true, 1, 31'449'600'000},
    {"1r/366d", kR, {366, Unit::kDay}, 366 * kDay, 1, true, 1, 31'622'400'000},
    {"1r/8784h", kR, {8784, Unit::kHour}, 366 * kDay, 1, true, 1, 31'622'400'000},
    {"1r/31622400s", kR, {31'622'400, Unit::kSecond}, 366 * kDay, 1, true, 1, 31'622'400'000},
};

INSTANTIATE_TEST_SUITE_P(Rate, GoodRate, testing::ValuesIn(kGood));

struct Bad {
    const char* text;
    const char* why;  // begins with this
};

constexpr const char* kNoNumber = "a rate begins with a number";
constexpr const char* kDecimals = "1 to 9 digits belong behind the point";
constexpr const char* kTooLarge = "the number is above 1000G";
constexpr const char* kUnit =
    "the unit is r (requests), t (LLM tokens) or usd (US dollars) and a slash";
constexpr const char* kTooMuchMoney = "a rate in usd is at most 1Musd";
constexpr const char* kNoMillionths = "a rate in usd counts millionths of a dollar";
constexpr const char* kPeriodCount = "the number of periods is out of range";
constexpr const char* kTooLong = "the period is longer than 366 days";
constexpr const char* kNoPeriod = "the period is one of s, m, h, d, w, month";
constexpr const char* kTooFine =
    "the number has too many digits behind its point for such a period";

void PrintTo(const Bad& bad, std::ostream* out) {
    *out << bad.text;
}

class BadRate : public testing::TestWithParam<Bad> {};

TEST_P(BadRate, IsRefusedWithAReason) {
    EXPECT_EQ(error_of(GetParam().text).rfind(GetParam().why, 0), 0U) << error_of(GetParam().text);
}

const Bad kBad[] = {
    {"", kNoNumber},
    {" ", kNoNumber},
    {"r/m", kNoNumber},
    {"kr/m", kNoNumber},
    {"/m", kNoNumber},
    {".5r/s", kNoNumber},
    {"-1r/m", kNoNumber},
    {"+1r/m", kNoNumber},
    {" 60r/m", kNoNumber},
    {"x", kNoNumber},
    {"unlimited", kNoNumber},
    {"1000000000000000000r/s", kNoNumber},
    {"5.r/s", kDecimals},
    {"5.kr/s", kDecimals},
    {"5..1r/s", kDecimals},
    {"5.-1r/s", kDecimals},
    {"0.0000000001r/s", kDecimals},
    {"1.0000000000r/s", kDecimals},
    {"1.0000000000000000000r/s", kDecimals},
    {"1001Gr/s", kTooLarge},
    {"1000.000000001Gr/s", kTooLarge},
    {"1000000000001t/s", kTooLarge},
    {"999999999999999999Gt/s", kTooLarge},
    {"60", kUnit},
    {"60r", kUnit},
    {"60/m", kUnit},
    {"60 r/m", kUnit},
    {"60R/m", kUnit},
    {"60T/m", kUnit},
    {"60rm", kUnit},
    {"60rr/m", kUnit},
    {"60x/m", kUnit},
    {"60req/m", kUnit},
    {"60gr/m", kUnit},
    {"60mr/m", kUnit},
    {"60gt/m", kUnit},
    {"60kkr/m", kUnit},
    {"60k", kUnit},
    {"60kM", kUnit},
    {"1.5.5r/m", kUnit},
    {"1,5r/m", kUnit},
    {"1e3r/m", kUnit},
    {"60USD/d", kUnit},
    {"60 usd/d", kUnit},
    {"60us/d", kUnit},
    {"60usd", kUnit},
    {"$60/d", kNoNumber},
    {"1000000.000001usd/d", kTooMuchMoney},
    {"1001kusd/month", kTooMuchMoney},
    {"1Gusd/month", kTooMuchMoney},
    {"1001Gusd/month", kTooLarge},
    {"0.0000001usd/d", kNoMillionths},
    {"0.0000015usd/d", kNoMillionths},
    {"0.0000000015kusd/d", kDecimals},
    {"20usd/year", kNoPeriod},
    {"60r/", kNoPeriod},
    {"60r/15", kNoPeriod},
    {"60r//m", kNoPeriod},
    {"60r/ m", kNoPeriod},
    {"60r/m ", kNoPeriod},
    {"60r/M", kNoPeriod},
    {"60r/min", kNoPeriod},
    {"60r/mon", kNoPeriod},
    {"60r/months", kNoPeriod},
    {"60r/y", kNoPeriod},
    {"60r/ms", kNoPeriod},
    {"60r/-1m", kNoPeriod},
    {"60r/1.5m", kNoPeriod},
    {"60r/1km", kNoPeriod},
    {"60r/1m1s", kNoPeriod},
    {"60r/m;", kNoPeriod},
    {"60r/0m", kPeriodCount},
    {"60r/000s", kPeriodCount},
    {"60r/9999999999999999999s", kPeriodCount},
    {"60r/367d", kTooLong},
    {"60r/53w", kTooLong},
    {"60r/13month", kTooLong},
    {"60r/8785h", kTooLong},
    {"60r/31622401s", kTooLong},
    {"60r/999999999999999999month", kTooLong},
    {"60r/4294967297s", kTooLong},
    {"60.000000001r/s", kTooFine},
    {"0.000000001r/s", kTooFine},
    {"0.01r/month", kTooFine},
    {"999999999999.999999999r/366d", kTooFine},
    {"300000000000.00000001r/s", kTooFine},
};

INSTANTIATE_TEST_SUITE_P(Rate, BadRate, testing::ValuesIn(kBad));

TEST(Rate, NeverRefillsAtZeroWhateverThePeriod) {
    for (const char* text : {"0r/s", "0.0r/15m", "0kt/d", "0.000000000Gt/12month"}) {
        Rate rate{};
        ASSERT_EQ(parse_rate(text, &rate), nullptr) << text;
        EXPECT_EQ(rate.quota, 0U);
        EXPECT_EQ(rate.refill_amount, 0U);
        EXPECT_EQ(rate.refill_millis, 1U);
    }
}

TEST(Rate, LeavesTheRateUnchangedOnError) {
    Rate rate{};
    ASSERT_EQ(parse_rate("7t/3d", &rate), nullptr);
    const std::string before = shown(rate);
    for (const Bad& bad : kBad) {
        ASSERT_NE(parse_rate(bad.text, &rate), nullptr) << bad.text;
        ASSERT_EQ(shown(rate), before) << bad.text;
    }
}

TEST(Rate, ReadsOnlyAsFarAsTheLengthSays) {
    EXPECT_EQ(parsed(std::string_view("60r/month", 5)), parsed("60r/m"));
    EXPECT_EQ(error_of(std::string_view("60r/m\0", 6)).rfind(kNoPeriod, 0), 0U);
}

TEST(Rate, MultipliesThePeriodsUnitByItsNumber) {
    EXPECT_EQ(length_of({1, Unit::kSecond}), kSecond);
    EXPECT_EQ(length_of({15, Unit::kMinute}), 15 * kMinute);
    EXPECT_EQ(length_of({8, Unit::kHour}), 8 * kHour);
    EXPECT_EQ(length_of({366, Unit::kDay}), kMaxPeriod);
    EXPECT_EQ(length_of({2, Unit::kWeek}), 2 * kWeek);
    EXPECT_EQ(length_of({12, Unit::kMonth}), 12 * kMonth);
}

/** Checks what is promised of every rate that was read from `text`. */
void expect_invariants(const std::string& text, const Rate& rate) {
    EXPECT_TRUE(rate.measure == kR || rate.measure == kT || rate.measure == kUsd) << text;
    EXPECT_GE(rate.period.count, 1U) << text;
    EXPECT_EQ(rate.period_length, length_of(rate.period)) << text;
    EXPECT_LE(rate.period_length, kMaxPeriod) << text;
    EXPECT_LE(rate.quota, kMaxAmount) << text;
    EXPECT_GE(rate.refill_millis, 1U) << text;
    EXPECT_LT(rate.refill_millis, kRefillMillisEnd) << text;
    EXPECT_LT(rate.refill_amount, uint64_t{1} << 63) << text;
    EXPECT_EQ(std::gcd(rate.refill_amount, rate.refill_millis), 1U) << text;
    // The refill over one period, rounded up, is the quota, and `whole` says whether it was
    // rounded.
    const Wide parts = Wide{rate.refill_amount} * static_cast<uint64_t>(rate.period_length);
    EXPECT_TRUE(parts <= Wide{rate.quota} * rate.refill_millis) << text;
    EXPECT_TRUE(rate.quota == 0 || parts > Wide{rate.quota - 1} * rate.refill_millis) << text;
    EXPECT_EQ(rate.whole, parts == Wide{rate.quota} * rate.refill_millis) << text;
}

Wide common_divisor(Wide a, Wide b) {
    return b == 0 ? a : common_divisor(b, a % b);
}

struct Scale {
    const char* letter;
    uint64_t factor;
};

struct Name {
    const char* text;
    PeriodUnit unit;
    Millis length;
};

constexpr Measure kRateMeasures[] = {kR, kT, kUsd};
constexpr Scale kScales[] = {{"", 1}, {"k", 1000}, {"M", 1'000'000}, {"G", 1'000'000'000}};
constexpr Name kNames[] = {{"s", Unit::kSecond, kSecond}, {"m", Unit::kMinute, kMinute},
                           {"h", Unit::kHour, kHour},     {"d", Unit::kDay, kDay},
                           {"w", Unit::kWeek, kWeek},     {"month", Unit::kMonth, kMonth}};

TEST(RateProperty, ReadsEveryRateOfTheGrammarExactlyOrRefusesItsSize) {
    Random random(2);
    int good = 0;
    for (int i = 0; i < 50'000; ++i) {
        const uint64_t whole = random.scaled(10 * kMaxAmount) - (random.one_in(8) ? 1 : 0);
        const auto decimals = static_cast<unsigned>(random.one_in(2) ? 0 : 1 + random.below(9));
        uint64_t denominator = 1;
        for (unsigned digit = 0; digit < decimals; ++digit) {
            denominator *= 10;
        }
        const uint64_t fraction = random.below(denominator);
        const std::string digits = std::to_string(fraction);
        const Scale& scale = random.one_of(kScales);
        const Name& name = random.one_of(kNames);
        const uint64_t count = random.one_in(2) ? 1 : random.scaled(600);
        const Measure measure = random.one_of(kRateMeasures);
        const std::string text =
            std::to_string(whole) +
            (decimals == 0 ? "" : "." + std::string(decimals - digits.size(), '0') + digits) +
            scale.letter + std::string(facts_of(measure).rate_word) + "/" +
            (count == 1 ? "" : std::to_string(count)) + name.text;

        const Wide number = (Wide{whole} * denominator + fraction) * scale.factor;
        const Wide numerator = number * (measure == kUsd ? 1'000'000 : 1);
        const Wide length = Wide{count} * static_cast<uint64_t>(name.length);
        Rate rate{};
        const char* error = parse_rate(text, &rate);
        if (number > Wide{kMaxAmount} * denominator) {
            ASSERT_STREQ(error, kTooLarge) << text;
            continue;
        }
        if (numerator > Wide{kMaxAmount} * denominator) {
            ASSERT_STREQ(error, kTooMuchMoney) << text;
            continue;
        }
        if (measure == kUsd && numerator % denominator != 0) {
            ASSERT_NE(error, nullptr) << text;
            ASSERT_EQ(std::string_view(error).rfind(kNoMillionths, 0), 0U) << text;
            continue;
        }
        if (length > static_cast<uint64_t>(kMaxPeriod)) {
            ASSERT_STREQ(error, kTooLong) << text;
            continue;
        }
        if (error != nullptr) {
            ASSERT_STREQ(error, kTooFine) << text;
            // Only where its fields cannot hold it, shortened by all that it can be.
            const Wide millis = length * denominator;
            const Wide divisor = common_divisor(numerator, millis);
            ASSERT_TRUE(millis / divisor >= kRefillMillisEnd || numerator / divisor >> 63 != 0)
                << text;
            continue;
        }
        ++good;
        expect_invariants(text, rate);
        ASSERT_EQ(rate.measure, measure) << text;
        ASSERT_EQ(rate.period.unit, name.unit) << text;
        ASSERT_EQ(rate.period.count, count) << text;
        ASSERT_EQ(rate.period_length, static_cast<Millis>(length)) << text;
        // refill_amount / refill_millis = numerator / (denominator * length), without a rounding
        ASSERT_TRUE(Wide{rate.refill_amount} * denominator * length ==
                    numerator * rate.refill_millis)
            << text;
        ASSERT_FALSE(HasFailure()) << text;
    }
    EXPECT_GT(good, 10'000);
}

/** A text that is a rate for most of its length. */
std::string random_text(Random* random) {
    static constexpr const char* kPieces[] = {
        "0", "1", "5", "60",    "100", "999999999", "000", ".",    "k", "M",
        "G", "r", "t", "usd",   "/",   "r/",        "t/",  "usd/", "s", "m",
        "h", "d", "w", "month", "-",   "+",         " ",   "r/m"};
    std::string text;
    for (uint64_t n = random->below(9); n > 0; --n) {
        if (random->one_in(12)) {
            text += static_cast<char>(random->below(256));
        } else {
            text += random->one_of(kPieces);
        }
    }
    return text;
}

TEST(RateProperty, ReadsOrRefusesAnyTextAndKeepsTheInvariants) {
    Random random(3);
    int good = 0;
    for (int i = 0; i < 300'000; ++i) {
        const std::string text = random_text(&random);
        // Exactly as long as the text, so that a sanitizer sees a step past its end.
        const std::vector<char> memory(text.begin(), text.end());
        Rate rate{};
        if (parse_rate({memory.data(), memory.size()}, &rate) == nullptr) {
            ++good;
            expect_invariants(text, rate);
            ASSERT_FALSE(HasFailure()) << text;
        }
    }
    EXPECT_GT(good, 500);
}

Millis time_zone(std::string_view text) {
    Millis offset = 1;
    EXPECT_TRUE(parse_time_zone(text, &offset)) << text;
    return offset;
}

TEST(TimeZone, IsHoursAndMinutesEastOfUtc) {
    EXPECT_EQ(time_zone("+00:00"), 0);
    EXPECT_EQ(time_zone("-00:00"), 0);
    EXPECT_EQ(time_zone("+09:00"), 9 * kHour);
    EXPECT_EQ(time_zone("+05:45"), 5 * kHour + 45 * kMinute);
    EXPECT_EQ(time_zone("-03:30"), -(3 * kHour + 30 * kMinute));
    EXPECT_EQ(time_zone("-00:01"), -kMinute);
    EXPECT_EQ(time_zone("+00:59"), 59 * kMinute);
    EXPECT_EQ(time_zone("+14:00"), 14 * kHour);
    EXPECT_EQ(time_zone("-14:00"), -14 * kHour);
}

TEST(TimeZone, RefusesOtherTextsAndLeavesTheOffsetUnchanged) {
    for (const std::string_view text :
         {"",       "Z",      "UTC",    "+",       "+9",      "+9:00",  "+09",
          "+0900",  "09:00",  " 09:00", "+09:00 ", "+09-00",  "+09:60", "+14:01",
          "-14:01", "+15:00", "+99:99", "+a9:00",  "+0a:00",  "+09:a0", "+09:0a",
          "++9:00", "+-9:00", "+09:-1", "+09.00",  "+009:00", "+09:000"}) {
        Millis offset = 1;
        EXPECT_FALSE(parse_time_zone(text, &offset)) << text;
        EXPECT_EQ(offset, 1) << text;
    }
}

TEST(TimeZone, ReadsEveryOffsetUpToFourteenHours) {
    for (int hours = 0; hours < 100; ++hours) {
        for (int minutes = 0; minutes < 100; ++minutes) {
            for (const char sign : {'+', '-'}) {
                char text[32];
                snprintf(text, sizeof text, "%c%02d:%02d", sign, hours, minutes);
                Millis offset = 0;
                const bool expected = minutes < 60 && hours * 60 + minutes <= 14 * 60;
                ASSERT_EQ(parse_time_zone(text, &offset), expected) << text;
                const Millis east = expected ? hours * kHour + minutes * kMinute : 0;
                ASSERT_EQ(offset, sign == '+' ? east : -east) << text;
            }
        }
    }
}

}  // namespace
}  // namespace ai_limit
