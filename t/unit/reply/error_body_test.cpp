#include "core/reply/error_body.h"

#include <gtest/gtest.h>

#include <cctype>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace ai_limit {
namespace {

constexpr ErrorFormat kBodies[] = {
    ErrorFormat::kJson,   ErrorFormat::kOpenAi,  ErrorFormat::kAnthropic, ErrorFormat::kGemini,
    ErrorFormat::kOllama, ErrorFormat::kBedrock, ErrorFormat::kCohere,    ErrorFormat::kProblem};

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

Description blocked() {
    Description policy = tokens(kNever);
    policy.limit = policy.remaining = 0;
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
              R"({"error":"request_too_large",)"
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
              R"({"type":"error","error":{"type":"invalid_request_error",)"
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
    EXPECT_EQ(body(ErrorFormat::kGemini, too_large(), 400),
              R"({"error":{"code":400,"message":"This request can never fit the limit: it needs )"
              R"(30601 tokens, the limit is 30000.","status":"INVALID_ARGUMENT"}})");
}

TEST(ErrorBody, OllamaBedrockAndCohereTellOneSentence) {
    EXPECT_EQ(body(ErrorFormat::kOllama, user(30'000)),
              R"({"error":"Too many requests. Try again in 30 seconds."})");
    EXPECT_EQ(body(ErrorFormat::kBedrock, user(30'000)),
              R"({"message":"Too many requests. Try again in 30 seconds."})");
    EXPECT_EQ(body(ErrorFormat::kCohere, too_large()),
              R"({"message":"This request can never fit the limit: it needs 30601 tokens, )"
              R"(the limit is 30000."})");
}

TEST(ErrorBody, OnlyBedrockTellsTheKindInAHeader) {
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

TEST(ErrorBody, ABlockedKeyIsToldSoInTheErrorTypesOfEachApi) {
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

TEST(ErrorBody, OpenAiTellsAWaitOverFiveMinutesAsAnExhaustedQuota) {
    const Json waits(body(ErrorFormat::kOpenAi, user(300'000)));
    EXPECT_EQ(waits.at("/error/code"), R"("rate_limit_exceeded")");
    EXPECT_EQ(body(ErrorFormat::kOpenAi, user(3'600'001)),
              R"({"error":{"message":"You exceeded your current quota of requests per min (RPM): )"
              R"(Limit 60, Used 60, Requested 1. Please try again in 3601s.",)"
              R"("type":"insufficient_quota","param":null,"code":"insufficient_quota"}})");
}

TEST(ErrorBody, GeminiTellsAWaitOverFiveMinutesAsAQuotaPerDay) {
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

TEST(ErrorBody, WhatNobodyCanDecideIsAnErrorOfTheServer) {
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

TEST(ErrorBody, ASentenceIsToldInEveryFormat) {
    const std::string sentence = "The body is not \"JSON\".";
    const std::string escaped = R"("The body is not \"JSON\".")";
    const auto json = [&](ErrorFormat format, ErrorKind kind, unsigned status) {
        char buffer[kMaxErrorBody];
        TextWriter out(buffer, sizeof buffer);
        EXPECT_TRUE(write_error_body(format, kind, sentence, status, "0123", out));
        const Json body(out.view());
        EXPECT_TRUE(body.valid()) << out.view();
        return body;
    };
    const ErrorKind kind = kind_of_status(400);
    EXPECT_EQ(json(ErrorFormat::kJson, kind, 400).at("/error"), R"("invalid_request")");
    EXPECT_EQ(json(ErrorFormat::kJson, kind, 400).at("/message"), escaped);
    EXPECT_EQ(json(ErrorFormat::kOpenAi, kind, 400).at("/error/message"), escaped);
    EXPECT_EQ(json(ErrorFormat::kOpenAi, kind, 400).at("/error/type"),
              R"("invalid_request_error")");
    EXPECT_EQ(json(ErrorFormat::kAnthropic, kind, 400).at("/error/message"), escaped);
    EXPECT_EQ(json(ErrorFormat::kGemini, kind, 400).at("/error/status"), R"("INVALID_ARGUMENT")");
    EXPECT_EQ(json(ErrorFormat::kGemini, kind, 400).at("/error/code"), "400");
    EXPECT_EQ(json(ErrorFormat::kOllama, kind, 400).at("/error"), escaped);
    EXPECT_EQ(json(ErrorFormat::kBedrock, kind, 400).at("/message"), escaped);
    EXPECT_EQ(json(ErrorFormat::kProblem, kind, 400).at("/detail"), escaped);
    EXPECT_EQ(json(ErrorFormat::kOpenAi, kind_of_status(426), 426).at("/error/code"),
              R"("upgrade_required")");
    EXPECT_EQ(json(ErrorFormat::kAnthropic, kind_of_status(403), 403).at("/error/type"),
              R"("permission_error")");
}

TEST(ErrorBody, TheLongestSentenceFitsItsBound) {
    const std::string sentence(kMaxErrorSentence, '\x01');
    const std::string id(kMaxErrorText, '\x01');
    for (const ErrorFormat format : kBodies) {
        char buffer[kMaxErrorBody];
        TextWriter out(buffer, sizeof buffer);
        EXPECT_TRUE(write_error_body(format, ErrorKind::kInvalid, sentence, 599, id, out));
    }
}

TEST(ErrorBody, WhatIsFinalHasNoWordsThatMakeAgentsTryAgain) {
    for (const ErrorFormat format : kBodies) {
        for (const Description& policy : {too_large(), blocked()}) {
            std::string text = body(format, policy, 400);
            for (char& c : text) {
                c = static_cast<char>(tolower(c));
            }
            for (const char* words : {"rate limit", "rate_limit", "too many requests",
                                      "exhausted\"", "try again", "overloaded"}) {
                EXPECT_EQ(text.find(words), std::string::npos) << text;
            }
        }
    }
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
    const std::vector<Description> refusals = {
        user(0), user(1),     tokens(59'999),     user(60'000), user(kNever),
        slots(), too_large(), tokens(kNever - 1), blocked()};
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
    EXPECT_EQ(error_content_type(ErrorFormat::kOllama), "application/json");
    EXPECT_EQ(error_content_type(ErrorFormat::kBedrock), "application/json");
    EXPECT_EQ(error_content_type(ErrorFormat::kCohere), "application/json");
    EXPECT_EQ(error_content_type(ErrorFormat::kProblem), "application/problem+json");
}

TEST(ErrorBody, FormatsAreFoundByTheirNames) {
    const std::pair<const char*, ErrorFormat> names[] = {
        {"json", ErrorFormat::kJson},           {"openai", ErrorFormat::kOpenAi},
        {"anthropic", ErrorFormat::kAnthropic}, {"gemini", ErrorFormat::kGemini},
        {"problem", ErrorFormat::kProblem},     {"off", ErrorFormat::kOff},
        {"ollama", ErrorFormat::kOllama},       {"bedrock", ErrorFormat::kBedrock},
        {"cohere", ErrorFormat::kCohere},       {"auto", ErrorFormat::kAuto},
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
