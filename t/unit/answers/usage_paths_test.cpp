#include "core/answers/usage_paths.h"

#include <gtest/gtest.h>

#include <string>

#include "core/usage/usage.h"

namespace ai_limit {
namespace {

constexpr Amount kUnknown = UINT64_MAX;

void expect(const UsagePaths& paths, AnswerKind kind, std::string_view body, Amount input,
            Amount output) {
    UsageReader reader(kind, &paths);
    reader.feed(body);
    reader.finish();
    EXPECT_FALSE(reader.malformed()) << body;
    if (input == kUnknown) {
        EXPECT_FALSE(reader.has_usage()) << body;
        return;
    }
    EXPECT_TRUE(reader.has_usage()) << body;
    EXPECT_EQ(reader.reported().counts.input, input) << body;
    EXPECT_EQ(reader.reported().counts.output, output) << body;
}

TEST(UsagePaths, FindTheUsage) {
    UsagePaths paths;
    EXPECT_TRUE(paths.is_empty());
    EXPECT_EQ(paths.add("output=/meta/o~1ut"), nullptr);
    EXPECT_EQ(paths.add("input=/0/in"), nullptr);
    EXPECT_FALSE(paths.is_empty());
    expect(paths, AnswerKind::kJson, R"({"meta":{"o/ut":7},"0":{"in":5}})", 5, 7);
    expect(paths, AnswerKind::kJson, R"([{"in":5}])", 5, 0);
    expect(paths, AnswerKind::kJson, R"({"0":{"x":5},"meta":{"o":1}})", kUnknown, 0);
}

TEST(UsagePaths, CountATotalThatStandsAloneAsInput) {
    UsagePaths paths;
    EXPECT_EQ(paths.add("total=/n"), nullptr);
    expect(paths, AnswerKind::kJson, R"({"n":12})", 12, 0);
    EXPECT_EQ(paths.add("input=/in"), nullptr);
    expect(paths, AnswerKind::kJson, R"({"n":12,"in":5})", 5, 7);
}

TEST(UsagePaths, TakePrecedenceOverThoseOfTheProviders) {
    UsagePaths paths;
    EXPECT_EQ(paths.add("input=/in"), nullptr);
    const std::string_view both = R"({"in":3,"usage":{"prompt_tokens":5,"completion_tokens":7}})";
    expect(paths, AnswerKind::kJson, both, 3, 7);
    // a place for whole answers, and streams that tell it where OpenAI's do
    const std::string_view other = R"({"usage":{"prompt_tokens":5,"completion_tokens":7}})";
    expect(paths, AnswerKind::kJson, other, 5, 7);
}

TEST(UsagePaths, TakeTheLargestValueOfSeveralPlaces) {
    UsagePaths paths;
    EXPECT_EQ(paths.add("input=/meta/in,/result/meta/in"), nullptr);
    EXPECT_EQ(paths.add("output=/a,/b,/c"), nullptr);
    expect(paths, AnswerKind::kJson, R"({"meta":{"in":5},"c":7})", 5, 7);
    expect(paths, AnswerKind::kJson, R"({"result":{"meta":{"in":5}},"a":1,"b":7})", 5, 7);
    expect(paths, AnswerKind::kSse, "data: {\"meta\":{\"in\":5},\"a\":7}\n\ndata: {\"b\":2}\n\n", 5,
           7);
}

TEST(UsagePaths, AddUpTheElementsOfAnArrayForAStar) {
    UsagePaths paths;
    EXPECT_EQ(paths.add("input=/in"), nullptr);
    EXPECT_EQ(paths.add("output=/results/*/tokens,/n/*"), nullptr);
    expect(paths, AnswerKind::kJson, R"({"in":5,"results":[{"tokens":1},{"x":1},{"tokens":2.5}]})",
           5, 4);
    expect(paths, AnswerKind::kJson, R"({"in":5,"n":[1,2,3],"results":[{"tokens":5}]})", 5, 6);
    // each document anew
    expect(paths, AnswerKind::kLines, "{\"in\":5,\"n\":[1,2]}\n{\"n\":[1]}\n{\"n\":[2,2]}\n", 5, 4);
    expect(paths, AnswerKind::kJson, R"({"in":5,"n":[999999999999,999999999999]})", 5, kMaxAmount);
    expect(paths, AnswerKind::kJson, R"({"in":5,"n":{"*":1}})", 5, 0);
}

TEST(UsagePaths, ApplyToEachEventAndLine) {
    UsagePaths paths;
    EXPECT_EQ(paths.add("input=/in"), nullptr);
    EXPECT_EQ(paths.add("output=/out"), nullptr);
    expect(paths, AnswerKind::kSse, "data: {\"in\":5,\"out\":1}\n\ndata: {\"out\":2}\n\n", 5, 2);
    expect(paths, AnswerKind::kLines, "{\"in\":5,\"out\":1}\n{\"in\":null,\"out\":2}\n", 5, 2);
}

TEST(UsagePaths, DoNotChangeTheCountingOfText) {
    UsagePaths paths;
    EXPECT_EQ(paths.add("input=/choices/0/message/tokens"), nullptr);
    EXPECT_EQ(paths.add("output=/text"), nullptr);
    UsageReader reader(AnswerKind::kJson, &paths);
    reader.feed(R"({"text":9,"candidates":[{"content":{"parts":[{"text":"four"}]}}],)");
    reader.feed(R"("choices":[{"message":{"tokens":8,"content":"x"}}]})");
    reader.finish();
    EXPECT_EQ(reader.reported().counts.input, 8U);
    EXPECT_EQ(reader.reported().counts.output, 9U);
    // of an array in which a pointer names an element, only that is looked at
    EXPECT_EQ(reader.text_characters(), 4U);
}

TEST(UsagePaths, RefuseInvalidPointers) {
    UsagePaths paths;
    EXPECT_STREQ(paths.add("prompt=/a"), "it is not input=, output= or total=");
    EXPECT_STREQ(paths.add("input"), "it is not input=, output= or total=");
    EXPECT_STREQ(paths.add("input="), "a JSON Pointer is missing");
    EXPECT_STREQ(paths.add("input=a"), "a JSON Pointer begins with a slash");
    EXPECT_STREQ(paths.add("input=/a~2"), "in a JSON Pointer, 0 or 1 follows a ~");
    EXPECT_STREQ(paths.add("input=/a/b/c/d/e/f/g/h/i/j/k/l/m"),
                 "a JSON Pointer has at most 12 keys");
    EXPECT_TRUE(paths.is_empty());
    EXPECT_EQ(paths.add("input=/a"), nullptr);
    EXPECT_STREQ(paths.add("input=/b"), "it is given twice");
    EXPECT_STREQ(paths.add("output=/a"), "another count has the same JSON Pointer");
    EXPECT_STREQ(paths.add("output=/c,/c"), "the same JSON Pointer is given twice");
    EXPECT_STREQ(paths.add("output=/c,"), "a JSON Pointer is missing");
    EXPECT_STREQ(paths.add("output=/1,/2,/3,/4,/5,/6,/7,/8,/9,/10,/11,/12"),
                 "there are at most 12 JSON Pointers");
    expect(paths, AnswerKind::kJson, R"({"a":1,"b":2})", 1, 0);
}

TEST(UsagePaths, HaveRoomForTheLongestPointers) {
    UsagePaths paths;
    std::string many = "output=";
    for (char c = 'a'; c < 'a' + 12; ++c) {
        many += std::string(c == 'a' ? "/" : ",/") + c + "/2/3/4/5/6/7/8/9/10/11/12";
    }
    EXPECT_EQ(UsagePaths().add(many), nullptr);
    EXPECT_EQ(paths.add("input=/a/b/c/d/e/f/g/h/i/j/k/l"), nullptr);
    EXPECT_EQ(paths.add("output=/b/b/c/d/e/f/g/h/i/j/k/l"), nullptr);
    EXPECT_EQ(paths.add("total=/c/b/c/d/e/f/g/h/i/j/k/l"), nullptr);
    const std::string body =
        R"({"b":{"b":{"c":{"d":{"e":{"f":{"g":{"h":{"i":{"j":{"k":{"l":3}}}}}}}}}}},)"
        R"("a":{"b":{"c":{"d":{"e":{"f":{"g":{"h":{"i":{"j":{"k":{"l":4}}}}}}}}}}}})";
    expect(paths, AnswerKind::kJson, body, 4, 3);
    expect(paths, AnswerKind::kSse, "data: " + body + "\n\n", 4, 3);
    expect(paths, AnswerKind::kLines, body, 4, 3);
}

}  // namespace
}  // namespace ai_limit
