// Tests the body of a refusal in the format of each API.

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/reply/error_body.h"
#include "error_bodies.h"

namespace ai_limit {
namespace {

TEST(ErrorBody, JsonGivesTheWaitAsTextAndAsANumber) {
    EXPECT_EQ(body(ErrorFormat::kJson, user(30'000)),
              R"({"error":"rate_limit_exceeded",)"
              R"("message":"Too many requests. Try again in 30 seconds.",)"
              R"("retry_after":30,"policy":"user"})");
}

TEST(ErrorBody, JsonRoundsSecondsUpWithASingularForOne) {
    const auto message = [](Millis wait) {
        return Json(body(ErrorFormat::kJson, user(wait))).at("/message");
    };
    EXPECT_EQ(message(0), R"("Too many requests. Try again in 1 second.")");
    EXPECT_EQ(message(1), R"("Too many requests. Try again in 1 second.")");
    EXPECT_EQ(message(999), R"("Too many requests. Try again in 1 second.")");
    EXPECT_EQ(message(1'000), R"("Too many requests. Try again in 1 second.")");
    EXPECT_EQ(message(1'001), R"("Too many requests. Try again in 2 seconds.")");
    EXPECT_EQ(message(59'999), R"("Too many requests. Try again in 60 seconds.")");
    EXPECT_EQ(message(60'000), R"("Too many requests. Try again in 60 seconds.")");
    EXPECT_EQ(message(60'001), R"("Too many requests. Try again in 61 seconds.")");
}

TEST(ErrorBody, JsonRetryAfterIsNeverZero) {
    EXPECT_EQ(Json(body(ErrorFormat::kJson, user(0))).at("/retry_after"), "1");
}

TEST(ErrorBody, JsonHasNoRetryAfterForARequestThatNeverFits) {
    EXPECT_EQ(body(ErrorFormat::kJson, too_large()),
              R"({"error":"request_too_large",)"
              R"("message":"This request can never fit the limit: it needs 30601 tokens, )"
              R"(the limit is 30000.","retry_after":null,"policy":"tokens"})");
}

TEST(ErrorBody, OpenAiMatchesTheRealApi) {
    EXPECT_EQ(body(ErrorFormat::kOpenAi, user(1'234)),
              R"({"error":{"message":"Rate limit reached for requests per min (RPM): Limit 60, )"
              R"(Used 60, Requested 1. Please try again in 1.234s.","type":"requests",)"
              R"("param":null,"code":"rate_limit_exceeded"}})");
    EXPECT_EQ(body(ErrorFormat::kOpenAi, tokens(26'604)),
              R"({"error":{"message":"Rate limit reached for tokens per min (TPM): Limit 30000, )"
              R"(Used 28800, Requested 5000. Please try again in 26.604s.","type":"tokens",)"
              R"("param":null,"code":"rate_limit_exceeded"}})");
}

TEST(ErrorBody, OpenAiSaysThatARequestIsTooLarge) {
    EXPECT_EQ(body(ErrorFormat::kOpenAi, too_large()),
              R"({"error":{"message":"Request too large for tokens per min (TPM): Limit 30000, )"
              R"(Requested 30601.","type":"invalid_request_error","param":null,)"
              R"("code":"request_too_large"}})");
}

TEST(ErrorBody, OpenAiNamesConcurrency) {
    EXPECT_EQ(body(ErrorFormat::kOpenAi, slots()),
              R"({"error":{"message":"Rate limit reached for concurrent requests: Limit 4, )"
              R"(Used 4, Requested 1. Please try again in 1s.","type":"requests",)"
              R"("param":null,"code":"rate_limit_exceeded"}})");
}

TEST(ErrorBody, OpenAiNamesEveryPeriod) {
    const Measure requests = Measure::kRequests;
    const Measure tokens = Measure::kTokens;
    EXPECT_EQ(openai_quota(requests, 1, PeriodUnit::kSecond), "requests per second (RPS)");
    EXPECT_EQ(openai_quota(requests, 1, PeriodUnit::kMinute), "requests per min (RPM)");
    EXPECT_EQ(openai_quota(requests, 1, PeriodUnit::kHour), "requests per hour (RPH)");
    EXPECT_EQ(openai_quota(requests, 1, PeriodUnit::kDay), "requests per day (RPD)");
    EXPECT_EQ(openai_quota(requests, 1, PeriodUnit::kWeek), "requests per week (RPW)");
    EXPECT_EQ(openai_quota(requests, 1, PeriodUnit::kMonth), "requests per month");
    EXPECT_EQ(openai_quota(tokens, 1, PeriodUnit::kMinute), "tokens per min (TPM)");
    EXPECT_EQ(openai_quota(tokens, 1, PeriodUnit::kDay), "tokens per day (TPD)");
    EXPECT_EQ(openai_quota(requests, 15, PeriodUnit::kMinute), "requests per 15 min");
    EXPECT_EQ(openai_quota(requests, 10, PeriodUnit::kSecond), "requests per 10 seconds");
    EXPECT_EQ(openai_quota(tokens, 2, PeriodUnit::kHour), "tokens per 2 hours");
    EXPECT_EQ(openai_quota(tokens, 30, PeriodUnit::kDay), "tokens per 30 days");
    EXPECT_EQ(openai_quota(tokens, 2, PeriodUnit::kWeek), "tokens per 2 weeks");
    EXPECT_EQ(openai_quota(tokens, 3, PeriodUnit::kMonth), "tokens per 3 months");
}

TEST(ErrorBody, OpenAiGivesWaitsInSeconds) {
    const auto wait_of = [](Millis wait) {
        const std::string message = openai_message(user(wait));
        return message.substr(message.find("Please"));
    };
    EXPECT_EQ(wait_of(0), "Please try again in 0.001s.\"");
    EXPECT_EQ(wait_of(1), "Please try again in 0.001s.\"");
    EXPECT_EQ(wait_of(999), "Please try again in 0.999s.\"");
    EXPECT_EQ(wait_of(59'999), "Please try again in 59.999s.\"");
    EXPECT_EQ(wait_of(60'000), "Please try again in 60s.\"");
    EXPECT_EQ(wait_of(60'001), "Please try again in 60.001s.\"");
    EXPECT_EQ(wait_of(3'600'000), "Please try again in 3600s.\"");
}

TEST(ErrorBody, AnthropicMatchesTheRealApi) {
    EXPECT_EQ(body(ErrorFormat::kAnthropic, user(30'000)),
              R"({"type":"error","error":{"type":"rate_limit_error",)"
              R"("message":"This request would exceed the limit of 60 requests. )"
              R"(Please try again in 30 seconds."},"request_id":"req_0123abcd"})");
    EXPECT_EQ(body(ErrorFormat::kAnthropic, too_large()),
              R"({"type":"error","error":{"type":"invalid_request_error",)"
              R"("message":"This request can never fit the limit: it needs 30601 tokens, )"
              R"(the limit is 30000."},"request_id":"req_0123abcd"})");
}

TEST(ErrorBody, AnthropicRequestIdIsNullIfThereIsNone) {
    EXPECT_EQ(Json(body(ErrorFormat::kAnthropic, user(1), 429, "")).at("/request_id"), "null");
}

TEST(ErrorBody, AnthropicNamesConcurrencyWithASingularForOne) {
    Description policy = slots();
    EXPECT_EQ(Json(body(ErrorFormat::kAnthropic, policy)).at("/error/message"),
              R"("This request would exceed the limit of 4 concurrent requests. )"
              R"(Please try again in 1 second.")");
    policy.limit = 1;
    EXPECT_EQ(Json(body(ErrorFormat::kAnthropic, policy)).at("/error/message"),
              R"("This request would exceed the limit of 1 concurrent request. )"
              R"(Please try again in 1 second.")");
}

TEST(ErrorBody, GeminiGivesTheWaitInTheMessageAndInRetryInfo) {
    EXPECT_EQ(body(ErrorFormat::kGemini, user(25'001)),
              R"({"error":{"code":429,"message":"This request would exceed the limit of )"
              R"(60 requests. Please retry in 26s.","status":"RESOURCE_EXHAUSTED","details":[)"
              R"({"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"26s"}]}})");
}

TEST(ErrorBody, GeminiHasNoDetailsForARequestThatNeverFits) {
    EXPECT_EQ(body(ErrorFormat::kGemini, too_large(), 400),
              R"({"error":{"code":400,"message":"This request can never fit the limit: it needs )"
              R"(30601 tokens, the limit is 30000.","status":"INVALID_ARGUMENT"}})");
}

TEST(ErrorBody, OllamaBedrockAndCohereWriteOneSentence) {
    EXPECT_EQ(body(ErrorFormat::kOllama, user(30'000)),
              R"({"error":"Too many requests. Try again in 30 seconds."})");
    EXPECT_EQ(body(ErrorFormat::kBedrock, user(30'000)),
              R"({"message":"Too many requests. Try again in 30 seconds."})");
    EXPECT_EQ(body(ErrorFormat::kCohere, too_large()),
              R"({"message":"This request can never fit the limit: it needs 30601 tokens, )"
              R"(the limit is 30000."})");
}

TEST(ErrorBody, OnlyBedrockNamesTheKindInAHeader) {
    for (const ErrorFormat format : kBodies) {
        EXPECT_EQ(error_type_header(format, ErrorKind::kWait).empty(),
                  format != ErrorFormat::kBedrock);
    }
    const auto type = [](const Description& refused) {
        return error_type_header(ErrorFormat::kBedrock, kind_of(refused));
    };
    EXPECT_EQ(type(user(1)), "ThrottlingException");
    EXPECT_EQ(type(user(301'000)), "ThrottlingException");
    EXPECT_EQ(type(too_large()), "ValidationException");
    EXPECT_EQ(type(blocked()), "AccessDeniedException");
}

TEST(ErrorBody, TellsABlockedKeyInTheErrorTypeOfEachApi) {
    const std::string sentence = R"("This key is blocked: its limit is 0 tokens.")";
    const Json plain(body(ErrorFormat::kJson, blocked(), 403));
    EXPECT_EQ(plain.at("/error"), R"("access_denied")");
    EXPECT_EQ(plain.at("/message"), sentence);
    EXPECT_EQ(plain.at("/retry_after"), "null");
    const Json openai(body(ErrorFormat::kOpenAi, blocked(), 403));
    EXPECT_EQ(openai.at("/error/message"), sentence);
    EXPECT_EQ(openai.at("/error/type"), R"("permission_error")");
    EXPECT_EQ(openai.at("/error/code"), R"("access_denied")");
    const Json anthropic(body(ErrorFormat::kAnthropic, blocked(), 403));
    EXPECT_EQ(anthropic.at("/error/type"), R"("permission_error")");
    const Json gemini(body(ErrorFormat::kGemini, blocked(), 403));
    EXPECT_EQ(gemini.at("/error/code"), "403");
    EXPECT_EQ(gemini.at("/error/status"), R"("PERMISSION_DENIED")");
    EXPECT_FALSE(gemini.has("/error/details"));
    for (const ErrorFormat format : kBodies) {
        EXPECT_EQ(body(format, blocked(), 403).find("too large"), std::string::npos);
    }
}

TEST(ErrorBody, OpenAiReportsAWaitOverFiveMinutesAsAnExhaustedQuota) {
    const Json waits(body(ErrorFormat::kOpenAi, user(300'000)));
    EXPECT_EQ(waits.at("/error/code"), R"("rate_limit_exceeded")");
    EXPECT_EQ(body(ErrorFormat::kOpenAi, user(3'600'001)),
              R"({"error":{"message":"You exceeded your current quota of requests per min (RPM): )"
              R"(Limit 60, Used 60, Requested 1. Please try again in 3601s.",)"
              R"("type":"insufficient_quota","param":null,"code":"insufficient_quota"}})");
}

TEST(ErrorBody, GeminiReportsAWaitOverFiveMinutesAsADailyQuota) {
    const Json waits(body(ErrorFormat::kGemini, user(300'000)));
    EXPECT_FALSE(waits.has("/error/details/1"));
    const Json exhausted(body(ErrorFormat::kGemini, tokens(300'001)));
    EXPECT_EQ(exhausted.at("/error/status"), R"("RESOURCE_EXHAUSTED")");
    EXPECT_EQ(exhausted.at("/error/details/0/@type"),
              R"("type.googleapis.com/google.rpc.QuotaFailure")");
    EXPECT_EQ(exhausted.at("/error/details/0/violations/0/quotaId"), R"("TokensPerDay")");
    EXPECT_EQ(exhausted.at("/error/details/0/violations/0/quotaMetric"), R"("tokens")");
    EXPECT_EQ(exhausted.at("/error/details/0/violations/0/quotaValue"), R"("30000")");
    EXPECT_EQ(exhausted.at("/error/details/1/retryDelay"), R"("301s")");
}

TEST(ErrorBody, ReportsAnUndecidableRequestAsAServerError) {
    Description undecided = user(1'000);
    undecided.undecided = true;
    EXPECT_EQ(body(ErrorFormat::kJson, undecided, 503),
              R"({"error":"service_unavailable","message":"The limits cannot be checked at the )"
              R"(moment. Please try again in 1 second.","retry_after":1,"policy":"user"})");
    const Json openai(body(ErrorFormat::kOpenAi, undecided, 503));
    EXPECT_EQ(openai.at("/error/type"), R"("server_error")");
    const Json gemini(body(ErrorFormat::kGemini, undecided, 503));
    EXPECT_EQ(gemini.at("/error/status"), R"("UNAVAILABLE")");
    EXPECT_EQ(error_type_header(ErrorFormat::kBedrock, kind_of(undecided)),
              "ServiceUnavailableException");
    EXPECT_EQ(Json(body(ErrorFormat::kProblem, undecided, 503)).at("/type"), R"("about:blank")");
}

TEST(ErrorBody, JsonSaysWhatIsLeftOfABudget) {
    EXPECT_EQ(body(ErrorFormat::kJson, money(3'600'000)),
              R"({"error":"rate_limit_exceeded",)"
              R"("message":"The budget of 20 USD per day is used up: this request needs 0.0412 )"
              R"(USD, 0.012 USD is left. Try again in 3600 seconds.",)"
              R"("retry_after":3600,"policy":"spend"})");
    EXPECT_EQ(Json(body(ErrorFormat::kJson, money(kNever))).at("/message"),
              R"("This request can never fit the budget of 20 USD per day: it needs 0.0412 USD.")");
}

TEST(ErrorBody, OpenAiGivesFiguresOfABudgetInDollars) {
    EXPECT_EQ(body(ErrorFormat::kOpenAi, money(1'234)),
              R"({"error":{"message":"Rate limit reached for the budget of 20 USD per day: Limit )"
              R"(20 USD, Used 19.988 USD, Requested 0.0412 USD. Please try again in 1.234s.",)"
              R"("type":"budget","param":null,"code":"rate_limit_exceeded"}})");
    EXPECT_EQ(openai_message(money(3'600'000)),
              R"("You exceeded your current budget of 20 USD per day: Limit 20 USD, Used 19.988 )"
              R"(USD, Requested 0.0412 USD. Please try again in 3600s.")");
    EXPECT_EQ(openai_message(money(kNever)),
              R"("Request too large for the budget of 20 USD per day: Limit 20 USD, Requested )"
              R"(0.0412 USD.")");
}

TEST(ErrorBody, AnthropicAndGeminiNameTheBudget) {
    EXPECT_EQ(Json(body(ErrorFormat::kAnthropic, money(30'000))).at("/error/message"),
              R"("This request would exceed the budget of 20 USD per day: it needs 0.0412 USD, )"
              R"(0.012 USD is left. Please try again in 30 seconds.")");
    const Json gemini(body(ErrorFormat::kGemini, money(3'600'000)));
    EXPECT_EQ(gemini.at("/error/message"),
              R"("This request would exceed the budget of 20 USD per day: it needs 0.0412 USD, )"
              R"(0.012 USD is left. Please retry in 3600s.")");
    EXPECT_EQ(gemini.at("/error/details/0/violations/0/quotaId"), R"("BudgetPerDay")");
    // Google's API has a whole number there.
    EXPECT_FALSE(gemini.has("/error/details/0/violations/0/quotaValue"));
}

TEST(ErrorBody, EveryFormatNamesTheBudgetAndNoTokens) {
    for (const ErrorFormat format : kBodies) {
        for (const Millis wait : {Millis{1}, Millis{3'600'000}, kNever}) {
            const std::string text = body(format, money(wait));
            EXPECT_NE(text.find("budget of 20 USD per day"), std::string::npos) << text;
            EXPECT_NE(text.find("0.0412 USD"), std::string::npos) << text;
            EXPECT_EQ(text.find("token"), std::string::npos) << text;
        }
    }
}

TEST(ErrorBody, ABurstIsNoBudgetOfThePeriod) {
    Description burst = money(1);
    burst.is_burst = true;
    EXPECT_NE(body(ErrorFormat::kJson, burst).find("The budget of 20 USD is used up"),
              std::string::npos);
    const std::string month = body(ErrorFormat::kJson, money(1, {3, PeriodUnit::kMonth}));
    EXPECT_NE(month.find("budget of 20 USD per 3 months is"), std::string::npos) << month;
}

TEST(ErrorBody, ABlockedBudgetIsZeroDollars) {
    Description blocked = money(kNever);
    blocked.limit = 0;
    EXPECT_EQ(Json(body(ErrorFormat::kJson, blocked)).at("/message"),
              R"("This key is blocked: its limit is 0 USD.")");
}

}  // namespace
}  // namespace ai_limit
