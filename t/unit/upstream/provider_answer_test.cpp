// Reads what providers tell about quotas, with headers as they really send them.

#include "core/upstream/provider_answer.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "core/upstream/time_text.h"

namespace ai_limit {
namespace {

constexpr Millis kWall = 1'755'780'000'000;  // 2025-08-21T12:40:00Z

using Headers = std::vector<std::pair<const char*, const char*>>;

ProviderAnswer read(const Headers& headers, Millis wall = kWall) {
    ProviderHeaders reader(wall);
    for (const auto& [name, value] : headers) {
        reader.read(name, value);
    }
    return reader.answer();
}

const ToldQuota& of(const ProviderAnswer& answer, QuotaKind kind) {
    return answer.quotas[static_cast<size_t>(kind)];
}

Millis duration(std::string_view text) {
    Millis length = -7;
    return read_duration(text, &length) ? length : -1;
}

Millis time(std::string_view text) {
    Millis point = -7;
    return read_time(text, &point) ? point : -1;
}

TEST(ProviderTimes, ReadDurations) {
    EXPECT_EQ(duration("1s"), 1000);
    EXPECT_EQ(duration("120ms"), 120);
    EXPECT_EQ(duration("6m0s"), 360'000);
    EXPECT_EQ(duration("7m12s"), 432'000);
    EXPECT_EQ(duration("2m59.56s"), 179'560);
    EXPECT_EQ(duration("16m17.764s"), 977'764);
    EXPECT_EQ(duration("1h2m3s"), 3'723'000);
    EXPECT_EQ(duration("250\xC2\xB5s"), 1) << "rounded up";
    EXPECT_EQ(duration("0s"), 0);
    EXPECT_EQ(duration("30"), 30'000);
    EXPECT_EQ(duration("11.38"), 11'380);
}

TEST(ProviderTimes, RefuseWhatIsNoDuration) {
    for (const char* text : {"", "-1", "-1s", "s", "1 s", "1x", "1s2", "1.", ".5s", "1.s", "NaN",
                             "1e9", "0x10", "soon", "1,5"}) {
        EXPECT_EQ(duration(text), -1) << text;
    }
}

TEST(ProviderTimes, BoundHugeDurations) {
    EXPECT_EQ(duration("99999999999999999999999999"), kLongestTimeText);
    EXPECT_EQ(duration("9999999999999999h9999999999999h"), kLongestTimeText);
}

TEST(ProviderTimes, ReadPointsInTime) {
    EXPECT_EQ(time("2025-08-21T12:40:59Z"), kWall + 59'000);
    EXPECT_EQ(time("2025-08-21t12:40:59.123456z"), kWall + 59'000);
    EXPECT_EQ(time("2025-08-21T14:40:59+02:00"), kWall + 59'000);
    EXPECT_EQ(time("2025-08-21T05:10:59-07:30"), kWall + 59'000);
    EXPECT_EQ(time("Sun, 06 Nov 1994 08:49:37 GMT"), 784'111'777'000);
    EXPECT_EQ(time("Thu, 29 Feb 2024 00:00:00 GMT"), 1'709'164'800'000);
}

TEST(ProviderTimes, RefuseWhatIsNoPointInTime) {
    for (const char* text :
         {"", "2025-08-21", "2025-13-21T12:40:59Z", "2025-08-21T12:40:59", "2025-08-21T12:40:59.Z",
          "2025-08-21T24:40:59Z", "1969-08-21T12:40:59Z", "Sun, 06 Nov 1994 08:49:37 CET",
          "Sun, 06 ovD 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT"}) {
        EXPECT_EQ(time(text), -1) << text;
    }
}

TEST(ProviderAnswers, ReadsOpenAi) {
    const ProviderAnswer answer = read({{"x-ratelimit-limit-requests", "3000"},
                                        {"x-ratelimit-limit-tokens", "250000"},
                                        {"x-ratelimit-remaining-requests", "2999"},
                                        {"X-RateLimit-Remaining-Tokens", "249900"},
                                        {"x-ratelimit-reset-requests", "20ms"},
                                        {"x-ratelimit-reset-tokens", "24ms"}});
    const ToldQuota& requests = of(answer, QuotaKind::kRequests);
    EXPECT_EQ(requests.limit, 3000u);
    EXPECT_TRUE(requests.has_remaining);
    EXPECT_EQ(requests.remaining, 2999u);
    EXPECT_EQ(requests.reset, 20);
    EXPECT_EQ(requests.period, 60'000);
    const ToldQuota& tokens = of(answer, QuotaKind::kTokens);
    EXPECT_EQ(tokens.limit, 250'000u);
    EXPECT_EQ(tokens.remaining, 249'900u);
    EXPECT_EQ(of(answer, QuotaKind::kInputTokens).limit, 0u);
    EXPECT_EQ(answer.retry_after, kNotTold);
}

TEST(ProviderAnswers, FindsRequestsADay) {
    // Groq's, and OpenAI's for a free account
    const ProviderAnswer groq = read({{"x-ratelimit-limit-requests", "14400"},
                                      {"x-ratelimit-remaining-requests", "14370"},
                                      {"x-ratelimit-reset-requests", "2m59.56s"},
                                      {"x-ratelimit-limit-tokens", "18000"},
                                      {"x-ratelimit-remaining-tokens", "17997"},
                                      {"x-ratelimit-reset-tokens", "7.66s"}});
    EXPECT_EQ(of(groq, QuotaKind::kRequests).period, 24 * 3'600'000);
    EXPECT_EQ(of(groq, QuotaKind::kTokens).period, 60'000);
    const ProviderAnswer openai = read({{"x-ratelimit-limit-requests", "200"},
                                        {"x-ratelimit-remaining-requests", "197"},
                                        {"x-ratelimit-reset-requests", "16m17.764s"}});
    EXPECT_EQ(of(openai, QuotaKind::kRequests).period, 24 * 3'600'000);
}

TEST(ProviderAnswers, ReadsAnthropicByItsOwnClock) {
    const Headers headers = {{"date", "Thu, 21 Aug 2025 12:40:00 GMT"},
                             {"anthropic-ratelimit-requests-limit", "50"},
                             {"anthropic-ratelimit-requests-remaining", "49"},
                             {"anthropic-ratelimit-requests-reset", "2025-08-21T12:40:01Z"},
                             {"anthropic-ratelimit-input-tokens-limit", "30000"},
                             {"anthropic-ratelimit-input-tokens-remaining", "29000"},
                             {"anthropic-ratelimit-input-tokens-reset", "2025-08-21T12:40:02Z"},
                             {"anthropic-ratelimit-output-tokens-limit", "8000"},
                             {"anthropic-ratelimit-output-tokens-remaining", "8000"},
                             {"anthropic-ratelimit-output-tokens-reset", "2025-08-21T12:39:59Z"}};
    // Ours is an hour off.
    for (const Millis wall : {kWall - 3'600'000, kWall, kWall + 3'600'000}) {
        const ProviderAnswer answer = read(headers, wall);
        EXPECT_EQ(of(answer, QuotaKind::kRequests).reset, 1000);
        EXPECT_EQ(of(answer, QuotaKind::kRequests).period, 60'000);
        EXPECT_EQ(of(answer, QuotaKind::kInputTokens).remaining, 29'000u);
        EXPECT_EQ(of(answer, QuotaKind::kInputTokens).reset, 2000);
        EXPECT_EQ(of(answer, QuotaKind::kOutputTokens).reset, 0);
    }
}

TEST(ProviderAnswers, DoesNotTakeALimitOfOutputForOneOfAllTokens) {
    // Anthropic's headers for all tokens say those of the limit that is nearest.
    const ProviderAnswer answer = read({{"anthropic-ratelimit-tokens-limit", "8000"},
                                        {"anthropic-ratelimit-tokens-remaining", "100"},
                                        {"anthropic-ratelimit-output-tokens-limit", "8000"},
                                        {"anthropic-ratelimit-output-tokens-remaining", "100"}});
    EXPECT_EQ(of(answer, QuotaKind::kTokens).limit, 0u);
    EXPECT_FALSE(of(answer, QuotaKind::kTokens).has_remaining);
    EXPECT_EQ(of(answer, QuotaKind::kOutputTokens).remaining, 100u);
}

TEST(ProviderAnswers, ReadsMistralAndCerebras) {
    const ProviderAnswer mistral = read({{"x-ratelimit-limit-req-minute", "60"},
                                         {"x-ratelimit-remaining-req-minute", "59"},
                                         {"x-ratelimit-limit-tokens-minute", "50000"},
                                         {"x-ratelimit-remaining-tokens-minute", "47196"},
                                         {"x-ratelimit-limit-tokens-month", "4000000"},
                                         {"x-ratelimit-remaining-tokens-month", "3950246"}});
    EXPECT_EQ(of(mistral, QuotaKind::kRequests).remaining, 59u);
    EXPECT_EQ(of(mistral, QuotaKind::kTokens).limit, 50'000u);
    EXPECT_EQ(of(mistral, QuotaKind::kTokens).reset, kNotTold);
    const ProviderAnswer cerebras = read({{"X-Ratelimit-Limit-Requests-Minute", "120"},
                                          {"X-Ratelimit-Remaining-Requests-Minute", "115"},
                                          {"X-Ratelimit-Reset-Requests-Minute", "45.5"},
                                          {"X-Ratelimit-Limit-Requests-Day", "14400"},
                                          {"X-Ratelimit-Remaining-Requests-Day", "14399"},
                                          {"X-Ratelimit-Reset-Requests-Day", "33011.4"}});
    EXPECT_EQ(of(cerebras, QuotaKind::kRequests).limit, 120u);
    EXPECT_EQ(of(cerebras, QuotaKind::kRequests).reset, 45'500);
}

TEST(ProviderAnswers, LeavesOutNonsense) {
    const ProviderAnswer answer = read({{"x-ratelimit-limit-requests", "-5"},
                                        {"x-ratelimit-remaining-requests", "4"},
                                        {"x-ratelimit-limit-tokens", "1000"},
                                        {"x-ratelimit-remaining-tokens", "99999999999999999999"},
                                        {"x-ratelimit-reset-tokens", "next week"},
                                        {"anthropic-ratelimit-input-tokens-limit", "0"},
                                        {"anthropic-ratelimit-output-tokens-limit", "10"},
                                        {"anthropic-ratelimit-output-tokens-remaining", "many"}});
    EXPECT_EQ(of(answer, QuotaKind::kRequests).limit, 0u);
    EXPECT_EQ(of(answer, QuotaKind::kTokens).remaining, 1000u) << "never above the limit";
    EXPECT_EQ(of(answer, QuotaKind::kTokens).reset, kNotTold);
    EXPECT_EQ(of(answer, QuotaKind::kInputTokens).limit, 0u);
    EXPECT_FALSE(of(answer, QuotaKind::kOutputTokens).has_remaining);
}

TEST(ProviderAnswers, TakesAnAbsurdPeriodForAMinute) {
    const ProviderAnswer answer = read({{"x-ratelimit-limit-requests", "60"},
                                        {"x-ratelimit-remaining-requests", "59"},
                                        {"x-ratelimit-reset-requests", "9000h"}});
    EXPECT_EQ(of(answer, QuotaKind::kRequests).period, 60'000);
}

TEST(ProviderAnswers, ReadsRetryAfter) {
    const auto wait = [](const Headers& headers) { return read(headers).retry_after; };
    EXPECT_EQ(wait({{"retry-after", "20"}}), 20'000);
    EXPECT_EQ(wait({{"retry-after", "1.5"}}), 1500);
    EXPECT_EQ(wait({{"Retry-After", "20"}, {"retry-after-ms", "1234"}}), 1234);
    EXPECT_EQ(wait({{"retry-after-ms", "0"}, {"retry-after", "3"}}), 3000);
    EXPECT_EQ(wait({{"retry-after", "Thu, 21 Aug 2025 12:40:30 GMT"}}), 30'000);
    EXPECT_EQ(wait({{"retry-after", "Thu, 21 Aug 2025 13:40:30 GMT"},
                    {"date", "Thu, 21 Aug 2025 13:40:00 GMT"}}),
              30'000)
        << "by the clock of the provider";
    for (const char* nonsense : {"", "0", "-1", "never", "Thu, 21 Aug 2025 12:39:30 GMT"}) {
        EXPECT_EQ(wait({{"retry-after", nonsense}}), kNotTold) << nonsense;
    }
}

TEST(ProviderAnswers, FindsGeminisRetryInfo) {
    EXPECT_EQ(read_retry_info(R"({"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[
        {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay": "26s"}]}})"),
              26'000);
    EXPECT_EQ(read_retry_info(R"("retryDelay":"1.5s")"), 1500);
    for (const char* body : {"", "{}", R"("retryDelay")", R"("retryDelay":)", R"("retryDelay":26)",
                             R"("retryDelay":"26s)", R"("retryDelay":"-26s")"}) {
        EXPECT_EQ(read_retry_info(body), kNotTold) << body;
    }
}

TEST(ProviderAnswers, TellsRefusalsFromErrors) {
    EXPECT_TRUE(is_provider_refusal(429) && is_provider_refusal(503) && is_provider_refusal(529));
    EXPECT_FALSE(is_provider_refusal(200) || is_provider_refusal(500) || is_provider_refusal(400));
}

}  // namespace
}  // namespace ai_limit
