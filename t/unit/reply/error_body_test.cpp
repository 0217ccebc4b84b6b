#include "core/reply/error_body.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "error_bodies.h"

namespace ai_limit {
namespace {

TEST(ErrorBody, WritesASentenceInEveryFormat) {
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

TEST(ErrorBody, FitsTheLongestSentence) {
    const std::string sentence(kMaxErrorSentence, '\x01');
    const std::string id(kMaxErrorText, '\x01');
    for (const ErrorFormat format : kBodies) {
        char buffer[kMaxErrorBody];
        TextWriter out(buffer, sizeof buffer);
        EXPECT_TRUE(write_error_body(format, ErrorKind::kInvalid, sentence, 599, id, out));
    }
}

TEST(ErrorBody, AvoidsWordsThatMakeAgentsRetryAFinalRefusal) {
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

TEST(ErrorBody, RepeatsTheStatusOfTheAnswer) {
    EXPECT_EQ(Json(body(ErrorFormat::kGemini, user(1), 503)).at("/error/code"), "503");
    EXPECT_EQ(Json(body(ErrorFormat::kProblem, user(1), 503)).at("/status"), "503");
}

TEST(ErrorBody, NoFormatAsksARequestThatNeverFitsToTryAgain) {
    for (const ErrorFormat format : kBodies) {
        const std::string text = body(format, too_large());
        EXPECT_EQ(text.find("ry again"), std::string::npos) << text;
        EXPECT_EQ(text.find("etry in"), std::string::npos) << text;
        EXPECT_FALSE(Json(text).has("/error/details")) << text;
    }
}

TEST(ErrorBody, EveryBodyIsValidJson) {
    const std::vector<Description> refusals = {
        user(0),      user(1),  tokens(59'999),    user(60'000),
        user(kNever), slots(),  too_large(),       tokens(kNever - 1),
        blocked(),    money(1), money(kNever - 1), money(kNever)};
    for (const ErrorFormat format : kBodies) {
        for (const Description& policy : refusals) {
            for (const std::string_view id : {"", "0123abcd", "a\"b\\c\n\xff"}) {
                const std::string text = body(format, policy, 429, id);
                EXPECT_TRUE(Json(text).valid()) << text;
            }
        }
    }
}

TEST(ErrorBody, EscapesWhatAClientSent) {
    EXPECT_EQ(Json(body(ErrorFormat::kAnthropic, user(1), 429, R"(x","y":"z)")).at("/request_id"),
              R"("req_x\",\"y\":\"z")");
}

TEST(ErrorBody, FitsTheLongestBodies) {
    const std::string name(kMaxErrorText, '\x01');  // six bytes each when escaped
    Description longest = tokens(kNever - 1);
    longest.policy = name;
    longest.limit = longest.requested = kMaxAmount;
    longest.remaining = 0;
    longest.period = {UINT32_MAX, PeriodUnit::kSecond};
    Description longest_slots = longest;
    longest_slots.measure = Measure::kInFlight;
    Description longest_money = longest;
    longest_money.measure = Measure::kMoney;
    longest_money.limit = longest_money.requested = longest_money.remaining = kMaxAmount - 1;
    for (Description policy : {longest, longest_slots, longest_money}) {
        for (const Millis wait : {kNever - 1, kNever}) {
            policy.wait = wait;
            for (const ErrorFormat format : kBodies) {
                const std::string text = body(format, policy, 599, name);
                EXPECT_TRUE(Json(text).valid()) << text;
            }
        }
    }
}

TEST(ErrorBody, FailsWithoutOverrunIfTheBufferIsTooSmall) {
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

TEST(ErrorBody, FindsFormatsByName) {
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

TEST(ErrorBody, ListsTheFormatsThatHaveABody) {
    char buffer[128];
    TextWriter out(buffer, sizeof buffer);
    list_error_formats(out);
    EXPECT_EQ(out.view(), "json, openai, anthropic, gemini, ollama, bedrock, cohere, problem");
}

}  // namespace
}  // namespace ai_limit
