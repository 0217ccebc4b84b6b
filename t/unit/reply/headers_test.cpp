#include "core/reply/headers.h"

#include <gtest/gtest.h>

#include <cctype>
#include <cstdint>
#include <ctime>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace ai_limit {
namespace {

constexpr HeaderStyles kXRateLimit = header_styles(HeaderStyle::kXRateLimit);
constexpr HeaderStyles kIetf = header_styles(HeaderStyle::kIetf);
constexpr HeaderStyles kOpenAi = header_styles(HeaderStyle::kOpenAi);
constexpr HeaderStyles kAnthropic = header_styles(HeaderStyle::kAnthropic);
constexpr HeaderStyles kAll = kXRateLimit | kIetf | kOpenAi | kAnthropic;

/** 2025-08-21T12:40:00Z */
constexpr Now kNow{5'000, 1'755'780'000'000};

using Lines = std::vector<std::string>;

/** Keeps the headers as lines; can be made to run out of room. */
class Response final : public HeaderSink {
public:
    char* space(size_t n) override {
        if (spaces_left-- == 0) {
            return nullptr;
        }
        spaces_.emplace_back(n);  // each on the heap, so that a sanitizer sees an overrun
        return spaces_.back().data();
    }

    bool put(std::string_view name, std::string_view lowercase_name,
             std::string_view value) override {
        EXPECT_EQ(name.data()[name.size()], '\0');
        EXPECT_EQ(lowercase_name.data()[lowercase_name.size()], '\0');
        std::string lower;
        for (const char c : name) {
            lower += static_cast<char>(tolower(c));
        }
        EXPECT_EQ(lower, lowercase_name);
        if (puts_left-- == 0) {
            return false;
        }
        headers_.emplace_back(name, value);
        return true;
    }

    Lines lines() const {
        Lines lines;
        for (const auto& [name, value] : headers_) {
            lines.push_back(name + ": " + std::string(value));
        }
        return lines;
    }

    size_t spaces() const { return spaces_.size(); }

    size_t spaces_left = SIZE_MAX;
    size_t puts_left = SIZE_MAX;

private:
    std::deque<std::vector<char>> spaces_;
    std::vector<std::pair<std::string, std::string_view>> headers_;
};

Description user() {
    return {
        "user", Measure::kRequests, {1, PeriodUnit::kMinute}, 60, 59, 1, 60'000, 1'000, 1'000, 0,
        false};
}

Description tokens() {
    return {"tokens",
            Measure::kTokens,
            {1, PeriodUnit::kMinute},
            100'000,
            98'000,
            2'000,
            60'000,
            1'200,
            2'001,
            0,
            false};
}

Description money() {
    return {"spend",
            Measure::kMoney,
            {1, PeriodUnit::kDay},
            20'000'000,
            4'873'215,
            41'200,
            86'400'000,
            1'200,
            2'001,
            0,
            false};
}

Description slots() {
    return {"slots", Measure::kInFlight, {}, 4, 1, 1, 0, 0, 1'000, 0, false};
}

Description refusing(Millis wait) {
    Description policy = user();
    policy.remaining = 0;
    policy.wait = wait;
    policy.refused = true;
    return policy;
}

/** The header lines of a response that passed. */
Lines passed(HeaderStyles styles, const std::vector<Description>& all, size_t reported = 0,
             Now now = kNow) {
    Response response;
    EXPECT_TRUE(write_headers(styles, all.data(), all.size(), all[reported], false, now, response));
    return response.lines();
}

/** The lines that a refusal with this wait adds to those of the policies. */
Lines refusal(HeaderStyles styles, Millis wait) {
    Response response;
    EXPECT_TRUE(write_headers(styles, nullptr, 0, refusing(wait), true, kNow, response));
    return response.lines();
}

Lines with_reset(HeaderStyles styles, Millis reset, Now now = kNow) {
    Description policy = user();
    policy.reset = reset;
    return passed(styles, {policy}, 0, now);
}

std::string go_duration(Millis reset) {
    const std::string name = "x-ratelimit-reset-requests: ";
    const std::string line = with_reset(kOpenAi, reset).at(2);
    EXPECT_EQ(line.substr(0, name.size()), name);
    return line.substr(name.size());
}

std::string date(Millis wall, Millis reset) {
    const std::string name = "anthropic-ratelimit-requests-reset: ";
    const std::string line = with_reset(kAnthropic, reset, {0, wall}).at(2);
    EXPECT_EQ(line.substr(0, name.size()), name);
    return line.substr(name.size());
}

TEST(Headers, WriteNothingIfOffEvenOnARefusal) {
    const Description policy = refusing(5'000);
    Response response;
    EXPECT_TRUE(write_headers(kNoHeaders, &policy, 1, policy, true, kNow, response));
    EXPECT_EQ(response.lines(), Lines{});
}

TEST(Headers, ShowNothingIfNoPolicyMayBeShown) {
    Response response;
    EXPECT_TRUE(write_headers(kAll, nullptr, 0, user(), false, kNow, response));
    EXPECT_EQ(response.lines(), Lines{});
    EXPECT_EQ(response.spaces(), 0U);
}

TEST(Headers, XRateLimitShowsOnlyTheReportedPolicy) {
    EXPECT_EQ(passed(kXRateLimit, {user(), tokens()}, 1),
              (Lines{"X-RateLimit-Limit: 100000", "X-RateLimit-Remaining: 98000",
                     "X-RateLimit-Reset: 2"}));
}

TEST(Headers, XRateLimitResetIsInSecondsRoundedUp) {
    EXPECT_EQ(with_reset(kXRateLimit, 0).at(2), "X-RateLimit-Reset: 0");
    EXPECT_EQ(with_reset(kXRateLimit, 1).at(2), "X-RateLimit-Reset: 1");
    EXPECT_EQ(with_reset(kXRateLimit, 1'000).at(2), "X-RateLimit-Reset: 1");
    EXPECT_EQ(with_reset(kXRateLimit, 1'001).at(2), "X-RateLimit-Reset: 2");
}

TEST(Headers, XRateLimitTakesOneAllocation) {
    const Description policy = user();
    Response response;
    EXPECT_TRUE(write_headers(kXRateLimit, &policy, 1, policy, false, kNow, response));
    EXPECT_EQ(response.spaces(), 1U);
}

TEST(Headers, IetfListsEveryPolicyInOrder) {
    EXPECT_EQ(passed(kIetf, {user(), tokens()}),
              (Lines{R"(RateLimit-Policy: "user";q=60;w=60, "tokens";q=100000;w=60)",
                     R"(RateLimit: "user";r=59;t=1, "tokens";r=98000;t=3)"}));
}

TEST(Headers, IetfGivesConcurrencyAUnitAndNoWindow) {
    EXPECT_EQ(passed(kIetf, {slots()}),
              (Lines{R"(RateLimit-Policy: "slots";q=4;qu="concurrent-requests")",
                     R"(RateLimit: "slots";r=1;t=1)"}));
}

TEST(Headers, IetfWindowIsRoundedUpAndNeverZero) {
    Description policy = user();
    policy.window = 0;
    EXPECT_EQ(passed(kIetf, {policy}).at(0), R"(RateLimit-Policy: "user";q=60;w=1)");
    policy.window = 1;
    EXPECT_EQ(passed(kIetf, {policy}).at(0), R"(RateLimit-Policy: "user";q=60;w=1)");
    policy.window = 1'001;
    EXPECT_EQ(passed(kIetf, {policy}).at(0), R"(RateLimit-Policy: "user";q=60;w=2)");
}

TEST(Headers, IetfSaysZeroSecondsIfNothingIsUsed) {
    Description policy = user();
    policy.next = 0;
    EXPECT_EQ(passed(kIetf, {policy}).at(1), R"(RateLimit: "user";r=59;t=0)");
}

TEST(Headers, OpenAiListsRequestsAndTokensButNotConcurrency) {
    EXPECT_EQ(passed(kOpenAi, {slots(), user(), tokens()}),
              (Lines{"x-ratelimit-limit-requests: 60", "x-ratelimit-remaining-requests: 59",
                     "x-ratelimit-reset-requests: 1s", "x-ratelimit-limit-tokens: 100000",
                     "x-ratelimit-remaining-tokens: 98000", "x-ratelimit-reset-tokens: 1.2s"}));
    EXPECT_EQ(passed(kOpenAi, {slots()}), Lines{});
}

TEST(Headers, OpenAiListsOnlyTokensIfNothingCountsRequests) {
    EXPECT_EQ(passed(kOpenAi, {tokens()}),
              (Lines{"x-ratelimit-limit-tokens: 100000", "x-ratelimit-remaining-tokens: 98000",
                     "x-ratelimit-reset-tokens: 1.2s"}));
}

TEST(Headers, OpenAiResetIsAGoDuration) {
    EXPECT_EQ(go_duration(0), "0s");
    EXPECT_EQ(go_duration(-5), "0s");
    EXPECT_EQ(go_duration(1), "1ms");
    EXPECT_EQ(go_duration(120), "120ms");
    EXPECT_EQ(go_duration(999), "999ms");
    EXPECT_EQ(go_duration(1'000), "1s");
    EXPECT_EQ(go_duration(1'500), "1.5s");
    EXPECT_EQ(go_duration(59'999), "59.999s");
    EXPECT_EQ(go_duration(60'000), "1m0s");
    EXPECT_EQ(go_duration(60'001), "1m0.001s");
    EXPECT_EQ(go_duration(360'000), "6m0s");
    EXPECT_EQ(go_duration(432'000), "7m12s");
    EXPECT_EQ(go_duration(3'599'999), "59m59.999s");
    EXPECT_EQ(go_duration(3'600'000), "1h0m0s");
    EXPECT_EQ(go_duration(3'600'500), "1h0m0.5s");
    EXPECT_EQ(go_duration(86'400'000), "24h0m0s");
    EXPECT_EQ(go_duration(31LL * 86'400'000), "744h0m0s");
    EXPECT_EQ(go_duration(INT64_MAX), "2562047788015h12m55.807s");
}

TEST(Headers, AnthropicListsRequestsAndTokensWithDates) {
    EXPECT_EQ(passed(kAnthropic, {tokens(), user(), slots()}),
              (Lines{"anthropic-ratelimit-requests-limit: 60",
                     "anthropic-ratelimit-requests-remaining: 59",
                     "anthropic-ratelimit-requests-reset: 2025-08-21T12:40:01Z",
                     "anthropic-ratelimit-tokens-limit: 100000",
                     "anthropic-ratelimit-tokens-remaining: 98000",
                     "anthropic-ratelimit-tokens-reset: 2025-08-21T12:40:02Z"}));
}

TEST(Headers, AnthropicDatesAreRoundedUpToTheSecond) {
    EXPECT_EQ(date(1'755'780'000'000, 0), "2025-08-21T12:40:00Z");
    EXPECT_EQ(date(1'755'780'000'000, 1), "2025-08-21T12:40:01Z");
    EXPECT_EQ(date(1'755'780'000'999, 0), "2025-08-21T12:40:01Z");
    EXPECT_EQ(date(1'755'780'000'500, 500), "2025-08-21T12:40:01Z");
    EXPECT_EQ(date(1'755'780'000'500, 501), "2025-08-21T12:40:02Z");
}

TEST(Headers, AnthropicDatesMatchTheStandardLibraryToTheYear2400) {
    for (time_t day = 0; day < 157'056; day++) {
        const time_t at = day * 86'400 + day % 86'400;
        tm parts{};
        gmtime_r(&at, &parts);
        char expected[32];
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%SZ", &parts);
        ASSERT_EQ(date(at * 1000, 0), expected);
    }
}

TEST(Headers, AnthropicDatesEndWithTheYear9999) {
    EXPECT_EQ(date(253'402'300'799'000, 0), "9999-12-31T23:59:59Z");
    EXPECT_EQ(date(253'402'300'799'000, 1), "9999-12-31T23:59:59Z");
    EXPECT_EQ(date(kNow.wall, kNever), "9999-12-31T23:59:59Z");
    EXPECT_EQ(date(0, 0), "1970-01-01T00:00:00Z");
}

TEST(Headers, ShowThePolicyWithTheSmallestShareLeft) {
    Description day = user();
    day.policy = "day";
    day.limit = 1'000;
    day.remaining = 900;  // more in number than the 59 of 60, but a smaller share
    EXPECT_EQ(passed(kOpenAi, {user(), day}).at(0), "x-ratelimit-limit-requests: 1000");
    EXPECT_EQ(passed(kOpenAi, {day, user()}).at(0), "x-ratelimit-limit-requests: 1000");
    EXPECT_EQ(passed(kAnthropic, {user(), day}).at(0), "anthropic-ratelimit-requests-limit: 1000");
}

TEST(Headers, ShowTheFirstPolicyOfATie) {
    Description twice = user();
    twice.limit = 120;
    twice.remaining = 118;
    EXPECT_EQ(passed(kOpenAi, {user(), twice}).at(0), "x-ratelimit-limit-requests: 60");
    EXPECT_EQ(passed(kOpenAi, {twice, user()}).at(0), "x-ratelimit-limit-requests: 120");
}

TEST(Headers, CompareRestrictivenessExactly) {
    Description a = tokens();
    Description b = tokens();
    a.limit = kMaxAmount;
    a.remaining = kMaxAmount - 2;
    b.limit = kMaxAmount - 1;
    b.remaining = kMaxAmount - 3;  // smaller by two parts in 10^24
    EXPECT_TRUE(is_more_restrictive(b, a));
    EXPECT_FALSE(is_more_restrictive(a, b));
    EXPECT_FALSE(is_more_restrictive(a, a));
    for (Amount sevenths = 0; sevenths < 7; sevenths++) {
        b.limit = kMaxAmount;
        b.remaining = kMaxAmount / 7 * sevenths;
        EXPECT_TRUE(is_more_restrictive(b, a)) << sevenths;
        EXPECT_FALSE(is_more_restrictive(a, b)) << sevenths;
    }
}

TEST(Headers, TreatsALimitOfZeroAsNothingLeft) {
    Description none = user();
    none.limit = 0;
    none.remaining = 0;
    Description spent = user();
    spent.remaining = 0;
    EXPECT_TRUE(is_more_restrictive(none, user()));
    EXPECT_FALSE(is_more_restrictive(user(), none));
    EXPECT_FALSE(is_more_restrictive(none, spent));
    EXPECT_FALSE(is_more_restrictive(spent, none));
}

TEST(Headers, NameNoResetOfALimitOfZero) {
    Description none = user();
    none.limit = 0;
    none.remaining = 0;
    EXPECT_EQ(passed(kXRateLimit, {none}),
              (Lines{"X-RateLimit-Limit: 0", "X-RateLimit-Remaining: 0"}));
    EXPECT_EQ(passed(kIetf, {none}),
              (Lines{R"(RateLimit-Policy: "user";q=0;w=60)", R"(RateLimit: "user";r=0)"}));
    EXPECT_EQ(passed(kOpenAi, {none}),
              (Lines{"x-ratelimit-limit-requests: 0", "x-ratelimit-remaining-requests: 0"}));
    EXPECT_EQ(passed(kAnthropic, {none}).size(), 2U);
}

TEST(Headers, WriteSeveralStylesSideBySide) {
    EXPECT_EQ(passed(kOpenAi | kIetf, {user()}),
              (Lines{R"(RateLimit-Policy: "user";q=60;w=60)", R"(RateLimit: "user";r=59;t=1)",
                     "x-ratelimit-limit-requests: 60", "x-ratelimit-remaining-requests: 59",
                     "x-ratelimit-reset-requests: 1s"}));
}

TEST(Headers, ShowThePolicyAndTheWaitOfARefusal) {
    const Description policy = refusing(1'234);
    Response response;
    EXPECT_TRUE(write_headers(kXRateLimit, &policy, 1, policy, true, kNow, response));
    EXPECT_EQ(response.lines(),
              (Lines{"X-RateLimit-Limit: 60", "X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 1",
                     "Retry-After: 2", "retry-after-ms: 1234", "Cache-Control: no-store"}));
}

TEST(Headers, GiveAWaitOfUpToAMinuteInSecondsAndMilliseconds) {
    for (const HeaderStyles style : {kXRateLimit, kIetf, kOpenAi, kAnthropic, kAll}) {
        EXPECT_EQ(refusal(style, 1),
                  (Lines{"Retry-After: 1", "retry-after-ms: 1", "Cache-Control: no-store"}));
        EXPECT_EQ(refusal(style, 999),
                  (Lines{"Retry-After: 1", "retry-after-ms: 999", "Cache-Control: no-store"}));
        EXPECT_EQ(refusal(style, 1'000),
                  (Lines{"Retry-After: 1", "retry-after-ms: 1000", "Cache-Control: no-store"}));
        EXPECT_EQ(refusal(style, 59'999),
                  (Lines{"Retry-After: 60", "retry-after-ms: 59999", "Cache-Control: no-store"}));
        EXPECT_EQ(refusal(style, 60'000),
                  (Lines{"Retry-After: 60", "retry-after-ms: 60000", "Cache-Control: no-store"}));
    }
}

TEST(Headers, GiveTheTrueWaitAboveAMinuteAndForbidARetry) {
    EXPECT_EQ(refusal(kOpenAi, 60'001),
              (Lines{"Retry-After: 61", "x-should-retry: false", "Cache-Control: no-store"}));
    EXPECT_EQ(refusal(kOpenAi, kNever - 1),
              (Lines{"Retry-After: 999999999999999", "x-should-retry: false",
                     "Cache-Control: no-store"}));
}

TEST(Headers, NeverGiveAWaitOfZero) {
    EXPECT_EQ(refusal(kAnthropic, 0),
              (Lines{"Retry-After: 1", "retry-after-ms: 1", "Cache-Control: no-store"}));
    EXPECT_EQ(refusal(kAnthropic, -7),
              (Lines{"Retry-After: 1", "retry-after-ms: 1", "Cache-Control: no-store"}));
}

TEST(Headers, ForbidARetryForARequestThatNeverFits) {
    EXPECT_EQ(refusal(kIetf, kNever), (Lines{"x-should-retry: false", "Cache-Control: no-store"}));
}

TEST(Headers, HaveRoomForTheLongestValuesOfEveryStyle) {
    const std::string name(64, 'n');
    Description longest = user();
    longest.policy = name;
    longest.limit = longest.remaining = longest.requested = kMaxAmount;
    longest.window = longest.reset = longest.next = longest.wait = kNever - 1;
    Description longest_tokens = longest;
    longest_tokens.measure = Measure::kTokens;
    Description longest_slots = longest;
    longest_slots.measure = Measure::kInFlight;
    const Description all[] = {longest, longest_tokens, longest_slots, longest_slots};
    Response response;
    EXPECT_TRUE(write_headers(kAll, all, 4, longest, true, kNow, response));
    EXPECT_EQ(response.lines().size(), 3U + 2 + 6 + 6 + 3);
}

TEST(Headers, FailWithoutOverrunIfAValueIsTooLong) {
    Description broken = user();
    broken.limit = broken.remaining = UINT64_MAX;
    broken.reset = INT64_MAX;
    Response response;
    EXPECT_FALSE(write_headers(kOpenAi, &broken, 1, broken, false, kNow, response));
    EXPECT_EQ(response.lines(), Lines{});
}

TEST(Headers, XRateLimitHasRoomForAnyNumbers) {
    Description largest = user();
    largest.limit = largest.remaining = UINT64_MAX;
    largest.reset = INT64_MAX;
    EXPECT_EQ(passed(kXRateLimit, {largest}), (Lines{"X-RateLimit-Limit: 18446744073709551615",
                                                     "X-RateLimit-Remaining: 18446744073709551615",
                                                     "X-RateLimit-Reset: 999999999999999"}));
}

TEST(Headers, FailWhereverTheSinkRunsOutOfRoom) {
    const Description all[] = {refusing(1'000), tokens()};
    Response whole;
    ASSERT_TRUE(write_headers(kAll, all, 2, all[0], true, kNow, whole));
    for (size_t n = 0; n < whole.spaces(); n++) {
        Response response;
        response.spaces_left = n;
        EXPECT_FALSE(write_headers(kAll, all, 2, all[0], true, kNow, response)) << n;
    }
    for (size_t n = 0; n < whole.lines().size(); n++) {
        Response response;
        response.puts_left = n;
        EXPECT_FALSE(write_headers(kAll, all, 2, all[0], true, kNow, response)) << n;
        EXPECT_EQ(response.lines().size(), n);
    }
}

TEST(Headers, FindStylesByName) {
    EXPECT_EQ(find_header_style("x-ratelimit"), kXRateLimit);
    EXPECT_EQ(find_header_style("ietf"), kIetf);
    EXPECT_EQ(find_header_style("openai"), kOpenAi);
    EXPECT_EQ(find_header_style("anthropic"), kAnthropic);
    EXPECT_EQ(find_header_style("off"), kNoHeaders);
    EXPECT_EQ(find_header_style("IETF"), kNoHeaders);
    EXPECT_EQ(find_header_style(""), kNoHeaders);
}

TEST(Headers, ListStyles) {
    char buffer[64];
    TextWriter out(buffer, sizeof buffer);
    list_header_styles(out);
    EXPECT_EQ(out.view(), "x-ratelimit, ietf, openai, anthropic");
}

TEST(Headers, ReplaceEveryHeaderThatTheyWrite) {
    const Description all[] = {user(), tokens(), slots()};
    for (const HeaderStyles style : {kXRateLimit, kIetf, kOpenAi, kAnthropic}) {
        for (const Millis wait : {Millis{1}, Millis{60'001}, kNever}) {
            Response response;
            ASSERT_TRUE(write_headers(style, all, 3, refusing(wait), true, kNow, response));
            for (const std::string& line : response.lines()) {
                const std::string name = line.substr(0, line.find(':'));
                EXPECT_TRUE(is_rate_limit_header(name, style, true)) << name;
                EXPECT_FALSE(is_rate_limit_header(name, kNoHeaders, true)) << name;
            }
        }
    }
}

TEST(Headers, RecognizeNamesToReplaceInAnyCase) {
    EXPECT_TRUE(is_rate_limit_header("x-ratelimit-limit", kXRateLimit, false));
    EXPECT_TRUE(is_rate_limit_header("X-RATELIMIT-LIMIT", kXRateLimit, false));
    EXPECT_TRUE(is_rate_limit_header("RateLimit", kIetf, false));
    EXPECT_TRUE(is_rate_limit_header("X-Ratelimit-Reset-Tokens", kOpenAi, false));
    EXPECT_TRUE(is_rate_limit_header("Anthropic-Ratelimit-Tokens-Reset", kAnthropic, false));
}

TEST(Headers, ReplaceOnlyHeadersOfTheStylesThatAreOn) {
    EXPECT_FALSE(is_rate_limit_header("x-ratelimit-limit-requests", kXRateLimit, false));
    EXPECT_FALSE(is_rate_limit_header("x-ratelimit-limit", kOpenAi, false));
    EXPECT_FALSE(is_rate_limit_header("ratelimit", kAnthropic, false));
    EXPECT_FALSE(is_rate_limit_header("anthropic-ratelimit-tokens-limit", kIetf, false));
}

TEST(Headers, KeepTheUpstreamsRetryAfterOnAResponseThatPassed) {
    for (const char* name : {"Retry-After", "retry-after-ms", "x-should-retry", "Cache-Control"}) {
        EXPECT_FALSE(is_rate_limit_header(name, kAll, false)) << name;
        EXPECT_TRUE(is_rate_limit_header(name, kAll, true)) << name;
    }
}

TEST(Headers, LeaveOtherHeadersAlone) {
    for (const char* name :
         {"", "a", "x", "r", "Content-Type", "date", "x-request-id", "x-ratelimit",
          "x-ratelimit-limit2", "ratelimit-limit", "anthropic-ratelimit-input-tokens-limit",
          "Accept-Ranges", "-ratelimit", "8-ratelimit-limit", "\xd8-ratelimit-limit"}) {
        EXPECT_FALSE(is_rate_limit_header(name, kAll, true)) << name;
    }
}

TEST(Headers, GiveAWaitOfAtLeastAMillisecond) {
    EXPECT_EQ(stated_wait(refusing(0)), 1);
    EXPECT_EQ(stated_wait(refusing(1)), 1);
    EXPECT_EQ(stated_wait(refusing(250)), 250);
    EXPECT_EQ(stated_wait(refusing(kNever)), kNever);
}

TEST(Headers, XRateLimitIsInDollarsForMoney) {
    EXPECT_EQ(passed(kXRateLimit, {money()}),
              (Lines{"X-RateLimit-Limit: 20", "X-RateLimit-Remaining: 4.873215",
                     "X-RateLimit-Reset: 2"}));
    Description most = money();
    most.limit = kMaxAmount - 1;
    most.remaining = kMaxAmount - 1;
    most.reset = kNever;
    EXPECT_EQ(passed(kXRateLimit, {most}),
              (Lines{"X-RateLimit-Limit: 999999.999999", "X-RateLimit-Remaining: 999999.999999",
                     "X-RateLimit-Reset: 999999999999999"}));
}

TEST(Headers, IetfIsInMillionthsOfADollarForMoney) {
    EXPECT_EQ(passed(kIetf, {money()}), (Lines{R"(RateLimit-Policy: "spend";q=20000000;w=86400)",
                                               R"(RateLimit: "spend";r=4873215;t=3)"}));
}

TEST(Headers, OpenAiAndAnthropicLeaveMoneyOut) {
    for (const HeaderStyles style : {kOpenAi, kAnthropic}) {
        EXPECT_EQ(passed(style, {money()}), Lines());
        EXPECT_EQ(passed(style, {money(), user(), tokens()}, 1), passed(style, {user(), tokens()}));
    }
}

}  // namespace
}  // namespace ai_limit
