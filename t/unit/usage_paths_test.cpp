#include "core/usage_paths.h"

#include <gtest/gtest.h>

#include <string>

#include "core/usage.h"

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
    EXPECT_EQ(reader.usage().input, input) << body;
    EXPECT_EQ(reader.usage().output, output) << body;
}

TEST(UsagePaths, SayWhereTheUsageStands) {
    UsagePaths paths;
    EXPECT_TRUE(paths.is_empty());
    EXPECT_EQ(paths.add("output=/meta/o~1ut"), nullptr);
    EXPECT_EQ(paths.add("input=/0/*"), nullptr);
    EXPECT_FALSE(paths.is_empty());
    expect(paths, AnswerKind::kJson, R"({"meta":{"o/ut":7},"0":{"*":5}})", 5, 7);
    expect(paths, AnswerKind::kJson, R"([{"*":5}])", 5, 0);
    expect(paths, AnswerKind::kJson, R"({"0":{"x":5},"meta":{"o":1}})", kUnknown, 0);
}

TEST(UsagePaths, ATotalAloneIsInput) {
    UsagePaths paths;
    EXPECT_EQ(paths.add("total=/n"), nullptr);
    expect(paths, AnswerKind::kJson, R"({"n":12})", 12, 0);
    EXPECT_EQ(paths.add("input=/in"), nullptr);
    expect(paths, AnswerKind::kJson, R"({"n":12,"in":5})", 5, 7);
}

TEST(UsagePaths, NothingElseCounts) {
    UsagePaths paths;
    EXPECT_EQ(paths.add("input=/in"), nullptr);
    const std::string_view body = R"({"usage":{"prompt_tokens":5,"completion_tokens":7}})";
    expect(paths, AnswerKind::kJson, body, kUnknown, 0);
    UsageReader reader(AnswerKind::kOther, &paths);
    reader.header("x-prompt-tokens", "5");
    EXPECT_FALSE(reader.has_usage());
}

TEST(UsagePaths, HoldInEachEventAndLine) {
    UsagePaths paths;
    EXPECT_EQ(paths.add("input=/in"), nullptr);
    EXPECT_EQ(paths.add("output=/out"), nullptr);
    expect(paths, AnswerKind::kSse, "data: {\"in\":5,\"out\":1}\n\ndata: {\"out\":2}\n\n", 5, 2);
    expect(paths, AnswerKind::kLines, "{\"in\":5,\"out\":1}\n{\"in\":null,\"out\":2}\n", 5, 2);
}

TEST(UsagePaths, TextsAreCountedAllTheSame) {
    UsagePaths paths;
    EXPECT_EQ(paths.add("input=/choices/0/message/tokens"), nullptr);
    EXPECT_EQ(paths.add("output=/text"), nullptr);
    UsageReader reader(AnswerKind::kJson, &paths);
    reader.feed(R"({"text":9,"candidates":[{"content":{"parts":[{"text":"four"}]}}],)");
    reader.feed(R"("choices":[{"message":{"tokens":8,"content":"x"}}]})");
    reader.finish();
    EXPECT_EQ(reader.usage().input, 8U);
    EXPECT_EQ(reader.usage().output, 9U);
    // of an array in which a pointer names an element, only that is looked at
    EXPECT_EQ(reader.text_bytes(), 4U);
}

TEST(UsagePaths, RefuseWhatIsNone) {
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
    expect(paths, AnswerKind::kJson, R"({"a":1,"b":2})", 1, 0);
}

TEST(UsagePaths, HaveRoomForTheLongestPointers) {
    UsagePaths paths;
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
