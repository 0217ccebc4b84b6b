#include "core/error_body.h"

#include <gtest/gtest.h>

#include <cctype>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace ai_limit {
namespace {

constexpr ErrorFormat kBodies[] = {ErrorFormat::kJson, ErrorFormat::kOpenAi,
                                   ErrorFormat::kAnthropic, ErrorFormat::kGemini,
                                   ErrorFormat::kProblem};

/**
 * A strict reader of one JSON text. Its leaves come out by path: `/error/details/0/retryDelay` has
 * `"26s"`, strings with their quotes and escapes.
 */
class Json {
public:
    explicit Json(std::string_view text) : text_(text) {
        value("");
        valid_ = valid_ && at_ == text_.size();
    }

    bool valid() const { return valid_; }

    std::string at(const std::string& path) const {
        const auto found = leaves_.find(path);
        return found == leaves_.end() ? "(absent)" : found->second;
    }

    bool has(const std::string& prefix) const {
        const auto found = leaves_.lower_bound(prefix);
        return found != leaves_.end() && found->first.compare(0, prefix.size(), prefix) == 0;
    }

private:
    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

    bool eat(char c) {
        if (peek() != c) {
            return false;
        }
        at_++;
        return true;
    }

    void expect(char c) { valid_ = eat(c) && valid_; }

    void leaf(const std::string& path, size_t from) {
        valid_ = valid_ && leaves_.emplace(path, text_.substr(from, at_ - from)).second;
    }

    void value(const std::string& path) {
        if (!valid_) {
            return;
        }
        const size_t from = at_;
        if (peek() == '{') {
            object(path);
        } else if (peek() == '[') {
            array(path);
        } else if (peek() == '"') {
            string();
            leaf(path, from);
        } else if (text_.substr(at_, 4) == "null") {
            at_ += 4;
            leaf(path, from);
        } else {
            while (isdigit(static_cast<unsigned char>(peek())) != 0) {
                at_++;
            }
            valid_ = at_ > from && (text_[from] != '0' || at_ == from + 1);
            leaf(path, from);
        }
    }

    void object(const std::string& path) {
        expect('{');
        do {
            const size_t from = at_;
            string();
            const std::string name(text_.substr(from, at_ - from));
            expect(':');
            if (valid_) {
                value(path + "/" + name.substr(1, name.size() - 2));
            }
        } while (valid_ && eat(','));
        expect('}');
    }

    void array(const std::string& path) {
        expect('[');
        size_t index = 0;
        do {
            value(path + "/" + std::to_string(index++));
        } while (valid_ && eat(','));
        expect(']');
    }

    void string() {
        expect('"');
        while (valid_ && peek() != '"') {
            const auto byte = static_cast<unsigned char>(peek());
            valid_ = byte >= 0x20;
            at_++;
            if (byte == '\\') {
                escape();
            }
        }
        expect('"');
    }

    void escape() {
        const char kind = peek();
        at_++;
        if (kind == 'u') {
            for (int i = 0; i < 4; i++, at_++) {
                valid_ = valid_ && isxdigit(static_cast<unsigned char>(peek())) != 0;
            }
        } else {
            valid_ = valid_ && (kind == '"' || kind == '\\');
        }
    }

    std::string_view text_;
    size_t at_ = 0;
    bool valid_ = true;
    std::map<std::string, std::string> leaves_;
};

Description user(Millis wait) {
    return {
        "user", Measure::kRequests, {1, PeriodUnit::kMinute}, 60, 0, 1, 60'000, 60'000, 1'000, wait,
        true};
}

Description tokens(Millis wait) {
    return {"tokens",
            Measure::kTokens,
            {1, PeriodUnit::kMinute},
            30'000,
            1'200,
            5'000,
            60'000,
            57'600,
            2,
            wait,
            true};
}

Description slots() {
    return {"slots", Measure::kInFlight, {}, 4, 0, 1, 0, 0, 1'000, 1'000, true};
}

Description too_large() {
    Description policy = tokens(kNever);
    policy.remaining = 30'000;
    policy.requested = 30'601;
    return policy;
}

std::string body(ErrorFormat format, const Description& reported, unsigned status = 429,
                 std::string_view request_id = "0123abcd") {
    char buffer[kMaxErrorBody];
    TextWriter out(buffer, sizeof buffer);
    EXPECT_TRUE(write_error_body(format, reported, status, request_id, out));
    return std::string(out.view());
}

std::string openai_message(const Description& reported) {
    return Json(body(ErrorFormat::kOpenAi, reported)).at("/error/message");
}

std::string openai_quota(Measure measure, uint32_t count, PeriodUnit unit) {
    Description policy = user(1'000);
    policy.measure = measure;
    policy.period = {count, unit};
    const std::string message = openai_message(policy);
    const std::string before = "\"Rate limit reached for ";
    EXPECT_EQ(message.substr(0, before.size()), before);
    return message.substr(before.size(), message.find(':') - before.size());
}

TEST(ErrorBody, JsonSaysTheWaitAsTextAndAsANumber) {
    EXPECT_EQ(body(ErrorFormat::kJson, user(30'000)),
              R"({"error":"rate_limit_exceeded",)"
              R"("message":"Too many requests. Try again in 30 seconds.",)"
              R"("retry_after":30,"policy":"user"})");
}

TEST(ErrorBody, JsonSecondsAreRoundedUpAndOneIsSingular) {
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

TEST(ErrorBody, JsonHasNoRetryAfterForWhatNeverFits) {
    EXPECT_EQ(body(ErrorFormat::kJson, too_large()),
              R"({"error":"rate_limit_exceeded",)"
              R"("message":"This request can never fit the limit: it needs 30601 tokens, )"
              R"(the limit is 30000.","retry_after":null,"policy":"tokens"})");
}

TEST(ErrorBody, OpenAiReadsAsOpenAisOwn) {
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
              R"(Requested 30601.","type":"tokens","param":null,"code":"rate_limit_exceeded"}})");
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

TEST(ErrorBody, OpenAiWaitsAreAlwaysInSeconds) {
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

TEST(ErrorBody, AnthropicReadsAsAnthropicsOwn) {
    EXPECT_EQ(body(ErrorFormat::kAnthropic, user(30'000)),
              R"({"type":"error","error":{"type":"rate_limit_error",)"
              R"("message":"This request would exceed the limit of 60 requests. )"
              R"(Please try again in 30 seconds."},"request_id":"req_0123abcd"})");
    EXPECT_EQ(body(ErrorFormat::kAnthropic, too_large()),
              R"({"type":"error","error":{"type":"rate_limit_error",)"
              R"("message":"This request can never fit the limit: it needs 30601 tokens, )"
              R"(the limit is 30000."},"request_id":"req_0123abcd"})");
}

TEST(ErrorBody, AnthropicRequestIdIsNullWhereThereIsNone) {
    EXPECT_EQ(Json(body(ErrorFormat::kAnthropic, user(1), 429, "")).at("/request_id"), "null");
}

TEST(ErrorBody, AnthropicNamesConcurrencyAndOneIsSingular) {
    Description policy = slots();
    EXPECT_EQ(Json(body(ErrorFormat::kAnthropic, policy)).at("/error/message"),
              R"("This request would exceed the limit of 4 concurrent requests. )"
              R"(Please try again in 1 second.")");
    policy.limit = 1;
    EXPECT_EQ(Json(body(ErrorFormat::kAnthropic, policy)).at("/error/message"),
              R"("This request would exceed the limit of 1 concurrent request. )"
              R"(Please try again in 1 second.")");
}

TEST(ErrorBody, GeminiTellsTheWaitInTheMessageAndInRetryInfo) {
    EXPECT_EQ(body(ErrorFormat::kGemini, user(25'001)),
              R"({"error":{"code":429,"message":"This request would exceed the limit of )"
              R"(60 requests. Please retry in 26s.","status":"RESOURCE_EXHAUSTED","details":[)"
              R"({"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"26s"}]}})");
}

TEST(ErrorBody, GeminiHasNoDetailsForWhatNeverFits) {
    EXPECT_EQ(body(ErrorFormat::kGemini, too_large()),
              R"({"error":{"code":429,"message":"This request can never fit the limit: it needs )"
              R"(30601 tokens, the limit is 30000.","status":"RESOURCE_EXHAUSTED"}})");
}

TEST(ErrorBody, ProblemIsAnRfc9457Document) {
    EXPECT_EQ(body(ErrorFormat::kProblem, user(30'000)),
              R"({"type":"https://iana.org/assignments/http-problem-types#quota-exceeded",)"
              R"("title":"Request cannot be satisfied as assigned quota has been exceeded",)"
              R"("status":429,"detail":"Too many requests. Try again in 30 seconds.",)"
              R"("violated-policies":["user"]})");
}

TEST(ErrorBody, TheStatusIsTheOneOfTheAnswer) {
    EXPECT_EQ(Json(body(ErrorFormat::kGemini, user(1), 503)).at("/error/code"), "503");
    EXPECT_EQ(Json(body(ErrorFormat::kProblem, user(1), 503)).at("/status"), "503");
}

TEST(ErrorBody, NoFormatTellsARequestThatNeverFitsToTryAgain) {
    for (const ErrorFormat format : kBodies) {
        const std::string text = body(format, too_large());
        EXPECT_EQ(text.find("ry again"), std::string::npos) << text;
        EXPECT_EQ(text.find("etry in"), std::string::npos) << text;
        EXPECT_FALSE(Json(text).has("/error/details")) << text;
    }
}

TEST(ErrorBody, EveryBodyIsValidJson) {
    const std::vector<Description> refusals = {user(0),      user(1),           tokens(59'999),
                                               user(60'000), user(kNever),      slots(),
                                               too_large(),  tokens(kNever - 1)};
    for (const ErrorFormat format : kBodies) {
        for (const Description& policy : refusals) {
            for (const std::string_view id : {"", "0123abcd", "a\"b\\c\n\xff"}) {
                const std::string text = body(format, policy, 429, id);
                EXPECT_TRUE(Json(text).valid()) << text;
            }
        }
    }
}

TEST(ErrorBody, WhatAClientSentIsEscaped) {
    EXPECT_EQ(Json(body(ErrorFormat::kAnthropic, user(1), 429, R"(x","y":"z)")).at("/request_id"),
              R"("req_x\",\"y\":\"z")");
}

TEST(ErrorBody, TheLongestBodiesFitTheirBound) {
    const std::string name(kMaxErrorText, '\x01');  // six bytes each when escaped
    Description longest = tokens(kNever - 1);
    longest.policy = name;
    longest.limit = longest.requested = kMaxAmount;
    longest.remaining = 0;
    longest.period = {UINT32_MAX, PeriodUnit::kSecond};
    Description longest_slots = longest;
    longest_slots.measure = Measure::kInFlight;
    for (Description policy : {longest, longest_slots}) {
        for (const Millis wait : {kNever - 1, kNever}) {
            policy.wait = wait;
            for (const ErrorFormat format : kBodies) {
                const std::string text = body(format, policy, 599, name);
                EXPECT_TRUE(Json(text).valid()) << text;
            }
        }
    }
}

TEST(ErrorBody, ABufferTooSmallIsAnErrorAndNoOverrun) {
    for (const ErrorFormat format : kBodies) {
        const std::string whole = body(format, user(1'234));
        for (size_t size = 0; size < whole.size(); size++) {
            std::string buffer(size + 4, '#');
            TextWriter out(buffer.data(), size);
            EXPECT_FALSE(write_error_body(format, user(1'234), 429, "0123abcd", out));
            EXPECT_EQ(buffer.substr(size), "####");
        }
    }
}

TEST(ErrorBody, OffWritesNothing) {
    char buffer[kMaxErrorBody];
    TextWriter out(buffer, sizeof buffer);
    EXPECT_FALSE(write_error_body(ErrorFormat::kOff, user(1), 429, "", out));
    EXPECT_EQ(out.view(), "");
    EXPECT_EQ(error_content_type(ErrorFormat::kOff), "");
}

TEST(ErrorBody, EveryFormatHasItsContentType) {
    EXPECT_EQ(error_content_type(ErrorFormat::kJson), "application/json");
    EXPECT_EQ(error_content_type(ErrorFormat::kOpenAi), "application/json");
    EXPECT_EQ(error_content_type(ErrorFormat::kAnthropic), "application/json");
    EXPECT_EQ(error_content_type(ErrorFormat::kGemini), "application/json");
    EXPECT_EQ(error_content_type(ErrorFormat::kProblem), "application/problem+json");
}

TEST(ErrorBody, FormatsAreFoundByTheirNames) {
    const std::pair<const char*, ErrorFormat> names[] = {
        {"json", ErrorFormat::kJson},           {"openai", ErrorFormat::kOpenAi},
        {"anthropic", ErrorFormat::kAnthropic}, {"gemini", ErrorFormat::kGemini},
        {"problem", ErrorFormat::kProblem},     {"off", ErrorFormat::kOff},
    };
    for (const auto& [name, expected] : names) {
        ErrorFormat format{};
        EXPECT_TRUE(find_error_format(name, &format)) << name;
        EXPECT_EQ(format, expected) << name;
    }
    ErrorFormat format{};
    EXPECT_FALSE(find_error_format("", &format));
    EXPECT_FALSE(find_error_format("JSON", &format));
}

}  // namespace
}  // namespace ai_limit
