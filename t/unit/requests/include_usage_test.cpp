// Tests the edit of a request that asks for the usage of its stream.

#include "core/requests/include_usage.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "request_fields.h"

namespace ai_limit {
namespace {

std::string edited(std::string_view path, std::string_view body) {
    const RequestFields result = reported(path, body);
    EXPECT_FALSE(result.unreadable) << body;
    return result.edits ? result.edited : "no edit";
}

TEST(IncludeUsage, AsksForTheUsageIfNoOptionsAreGiven) {
    EXPECT_EQ(edited(kChat, R"( { "stream" : true, "messages":[] } )"),
              R"( {"stream_options":{"include_usage":true}, "stream" : true, "messages":[] } )");
    EXPECT_EQ(edited("/v1/completions", R"({"prompt":"","stream":true})"),
              R"({"stream_options":{"include_usage":true},"prompt":"","stream":true})");
    EXPECT_EQ(edited(kChat, R"({"messages":[],"stream":true,"stream_options": null})"),
              R"({"messages":[],"stream":true,"stream_options": {"include_usage":true}})");
}

TEST(IncludeUsage, KeepsTheOtherStreamOptions) {
    const auto with = [](std::string_view options) {
        return R"({"messages":[],"stream_options":)" + std::string(options) + R"(,"stream":true})";
    };
    EXPECT_EQ(edited(kChat, with("{}")), with(R"({"include_usage":true})"));
    EXPECT_EQ(edited(kChat, with("{ \n}")), with("{\"include_usage\":true \n}"));
    EXPECT_EQ(edited(kChat, with(R"({"include_obfuscation":false})")),
              with(R"({"include_usage":true,"include_obfuscation":false})"));
    EXPECT_EQ(edited(kChat, with(R"({ "a":{} , "b":[]})")),
              with(R"({"include_usage":true, "a":{} , "b":[]})"));
    EXPECT_EQ(edited(kChat, with(R"({"a":1, "include_usage" : false ,"b":{"include_usage":1}})")),
              with(R"({"a":1, "include_usage" : true ,"b":{"include_usage":1}})"));
    EXPECT_EQ(edited(kChat, with(R"({"include_usage":null})")), with(R"({"include_usage":true})"));
    for (const std::string_view value : {"0", "1", "-1.5e3", "\"no\"", "\"\\u0079es\"", "\"\"",
                                         "[]", "{\"include_usage\":[true]}"}) {
        EXPECT_EQ(edited(kChat, with("{\"include_usage\":" + std::string(value) + " ,\"a\":1}")),
                  with(R"({"include_usage":true ,"a":1})"));
    }
    EXPECT_EQ(edited(kChat, with(R"({"x":{"include_usage":true}})")),
              with(R"({"include_usage":true,"x":{"include_usage":true}})"));
}

TEST(IncludeUsage, TakesTheLastOfTwoEqualOptions) {
    EXPECT_EQ(edited(kChat, R"({"messages":[],"stream":true,"stream_options":{"include_usage":true},
        "stream_options":{"a":1}})"),
              R"({"messages":[],"stream":true,"stream_options":{"include_usage":true},
        "stream_options":{"include_usage":true,"a":1}})");
    EXPECT_EQ(edited(kChat, R"({"messages":[],"stream":true,
        "stream_options":{"include_usage":true,"include_usage":false}})"),
              R"({"messages":[],"stream":true,
        "stream_options":{"include_usage":true,"include_usage":true}})");
}

TEST(IncludeUsage, EditsTheBodyOnlyIfItHelps) {
    const std::string good = R"({"messages":[],"stream":true})";
    EXPECT_NE(edited(kChat, good), "no edit");
    for (const std::string_view path : {"/v1/messages", "/api/chat", "/v1/responses", "/"}) {
        EXPECT_EQ(edited(path, good), "no edit") << path;
    }
    for (const std::string_view body :
         {R"({"messages":[]})", R"({"messages":[],"stream":false})", R"({"stream":true})",
          R"({"messages":[],"stream":true,"stream_options":{"include_usage":true}})",
          R"({"messages":[],"stream":true,"stream_options":[]})",
          R"({"messages":[],"stream":true,"stream_options":"x"})",
          R"({"messages":[],"stream":true,"stream_options":false})",
          R"([{"messages":[],"stream":true}])", ""}) {
        EXPECT_EQ(edited(kChat, body), "no edit") << body;
    }
}

/** True if the usage of a stream may be left out, whatever anybody does. */
bool leaves_usage_out(std::string_view path, std::string_view body) {
    return !reported(path, body).left_out.empty();
}

TEST(IncludeUsage, DoesNotTakeOptionsInCapitalsAsAskingForTheUsage) {
    const auto with = [](std::string_view options) {
        return R"({"messages":[],"stream":true,)" + std::string(options) + "}";
    };
    for (const std::string_view options :
         {R"("Stream_Options":{"include_usage":true})",
          R"("Stream_Options":{"include_usage":false})", R"("Stream_Options":null)",
          R"("STREAM_OPTIONS":{})", R"("\u017Ftream_options":{"include_usage":true})",
          R"("stream_options":{"Include_usage":true})",
          R"("stream_options":{"INCLUDE_USAGE":false})"}) {
        const RequestFields result = reported(kChat, with(options));
        EXPECT_FALSE(result.includes_usage) << options;
        EXPECT_FALSE(result.edits) << options;
        EXPECT_NE(result.left_out, "") << options;
        EXPECT_FALSE(leaves_usage_out("/v1/messages", with(options))) << options;
    }
    const RequestFields escaped =
        reported(kChat, with(R"("stream_option\u0073":{"include_usag\u0065":true})"));
    EXPECT_TRUE(escaped.includes_usage);
    EXPECT_EQ(escaped.left_out, "");
    EXPECT_FALSE(leaves_usage_out(kChat, R"({"Messages":[],"STREAM":true})")) << "an edit helps";
}

TEST(IncludeUsage, RecognizesStreamsWhoseUsageCannotBeAskedFor) {
    const auto with = [](std::string_view options) {
        return R"({"messages":[],"stream":true,"stream_options":)" + std::string(options) + "}";
    };
    const std::string long_zero = "0." + std::string(100, '0');
    EXPECT_TRUE(leaves_usage_out(kChat, with("{\"include_usage\":" + long_zero + "}")));
    for (const std::string_view options : {"[]", "\"x\"", "false", "1"}) {
        EXPECT_TRUE(leaves_usage_out(kChat, with(options))) << options;
        EXPECT_FALSE(leaves_usage_out("/v1/responses", with(options))) << options;
    }
    for (const std::string_view options : {"null", "{}", "{\"include_usage\":false}",
                                           "{\"include_usage\":true}", "{\"include_usage\":[1]}"}) {
        EXPECT_FALSE(leaves_usage_out(kChat, with(options))) << options;
    }
    for (const std::string_view body : {"", "{", R"({"messages":[],"stream_options":[]})",
                                        R"({"messages":[],"stream":false,"stream_options":[]})"}) {
        EXPECT_FALSE(leaves_usage_out(kChat, body)) << body;
    }
}

TEST(IncludeUsage, DoesNotEditACompressedBody) {
    const auto leaves_out = [](std::string_view body) {
        RequestInfo info;
        info.read_path(kChat);
        info.feed(body);
        info.finish(body.size());
        return !info.why_usage_is_left_out().empty();
    };
    EXPECT_TRUE(leaves_out(R"({"messages":[],"stream":true})"));
    EXPECT_TRUE(
        leaves_out(R"({"messages":[],"stream":true,"stream_options":{"include_usage":false}})"));
    EXPECT_FALSE(
        leaves_out(R"({"messages":[],"stream":true,"stream_options":{"include_usage":true}})"));
    EXPECT_FALSE(leaves_out(R"({"messages":[]})"));
}

}  // namespace
}  // namespace ai_limit
