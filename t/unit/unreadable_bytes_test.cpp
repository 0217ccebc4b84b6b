// Text that stands where no provider's table looks for text.

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "core/usage.h"
#include "event_stream_message.h"
#include "usage_answer.h"

namespace ai_limit {
namespace {

const std::string kLong(4000, 'x');

/** In pieces of at most `most` bytes; ended, or cut there. */
uint64_t unreadable(AnswerKind kind, std::string_view body, size_t most, bool cut) {
    UsageReader reader(kind, nullptr);
    while (!body.empty()) {
        const std::string piece(body.substr(0, most));
        body.remove_prefix(piece.size());
        reader.feed(piece);
    }
    cut ? reader.stop() : reader.finish();
    return reader.unreadable_bytes();
}

/** The same however it is cut. */
uint64_t unreadable(AnswerKind kind, std::string_view body) {
    const uint64_t whole = unreadable(kind, body, body.size() + 1, false);
    for (const size_t most : {1, 2, 3, 7, 100}) {
        EXPECT_EQ(unreadable(kind, body, most, false), whole) << body << " in pieces of " << most;
    }
    return whole;
}

TEST(UnreadableBytes, PlainTextThatBeginsLikeAnotherKindIsText) {
    for (const std::string& body :
         {kLong, ": " + kLong, "id: " + kLong, "data: {}\n\n" + kLong, "{}\n\"" + kLong + "\"\n",
          "{\"a\":\"" + kLong + "\"}", "[\"" + kLong + "\"]", "data: {\"a\":\"" + kLong + "\"}\n\n",
          "\x0A\x3A" + kLong, "\x1E{\"a\":\"" + kLong + "\"}\n", "data: [DONE]\n\n" + kLong,
          "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n" + kLong + "\n\n" + kLong,
          "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n" + kLong + "\n\n" + kLong}) {
        EXPECT_GE(unreadable(AnswerKind::kOther, body), 3990U) << body.substr(0, 60);
        EXPECT_GE(unreadable(AnswerKind::kOther, body, body.size(), true), 3990U)
            << body.substr(0, 60);
        EXPECT_LE(unreadable(AnswerKind::kOther, body), body.size()) << body.substr(0, 60);
    }
}

TEST(UnreadableBytes, AStreamThatIsLabelledAsPlainTextIsReadAsOne) {
    std::string body;
    for (int i = 0; i < 100; ++i) {
        body +=
            "data: "
            "{\"id\":\"chatcmpl-0123456789\",\"choices\":[{\"delta\":{\"content\":\"x\"}}]}"
            "\r\n\r\n";
    }
    EXPECT_LE(unreadable(AnswerKind::kOther, body), 1U);
    EXPECT_LE(unreadable(AnswerKind::kOther, "data: {\"choices\":[]}\n\n" + body), 30U);
    EXPECT_EQ(unreadable(AnswerKind::kOther, body + "data: {\"usage\":{\"prompt_tokens\":5}}\n\n"),
              0U);
    EXPECT_EQ(unreadable(AnswerKind::kSse, ": " + kLong + "\n\n" + body), 0U);
}

TEST(UnreadableBytes, StringsOfAnUnknownDocumentAreText) {
    EXPECT_EQ(unreadable(AnswerKind::kJson, "{\"answer\":\"" + kLong + "\"}"), 4000U);
    EXPECT_EQ(unreadable(AnswerKind::kJson, "{\"a\":{\"b\":[\"" + kLong + "\",1]}}"), 4000U);
    EXPECT_EQ(unreadable(AnswerKind::kJson, "\"" + kLong + "\""), 4000U);
    EXPECT_EQ(unreadable(AnswerKind::kJson, "{\"answer\":\"" + kLong, 100, true), 4000U);
    EXPECT_EQ(unreadable(AnswerKind::kJson, R"({"id":"abcd","content":"x"})"), 0U);
    EXPECT_EQ(unreadable(AnswerKind::kJson, R"({"id":"abcd","usage":{"total_tokens":8}})"), 0U);
}

TEST(UnreadableBytes, NumbersThatPythonWritesAreNoText) {
    std::string vector = "{\"data\":[{\"embedding\":[NaN,-Infinity,Infinity";
    for (int i = 0; i < 1000; ++i) {
        vector += ",0.123456789";
    }
    vector += "]}],\"usage\":{\"prompt_tokens\":8,\"total_tokens\":8}}";
    EXPECT_EQ(unreadable(AnswerKind::kJson, vector), 0U);
    EXPECT_EQ(read_answer(AnswerKind::kJson, vector, 100), (Told{8, 0, 0, 0, false}));
    EXPECT_EQ(unreadable(AnswerKind::kJson, "{\"usage\":{\"total_tokens\":8},\"data\":[nan,1]}"),
              0U);
}

TEST(UnreadableBytes, ACountThatIsNoNumberIsNone) {
    EXPECT_EQ(read_answer(AnswerKind::kJson, R"({"usage":{"prompt_tokens":NaN}})"), Told());
}

TEST(UnreadableBytes, AToolsArgumentsCountWhereTheyAreCut) {
    const std::string object = R"({"content":[{"type":"tool_use","input":{"a":")" + kLong;
    const std::string event =
        R"(data: {"candidates":[{"content":{"parts":[{"functionCall":{"args":{"a":")" + kLong;
    for (const auto& [kind, body] :
         {std::pair{AnswerKind::kJson, object}, std::pair{AnswerKind::kSse, event}}) {
        for (const size_t most : {size_t{1}, size_t{100}, body.size()}) {
            UsageReader reader(kind, nullptr);
            for (size_t at = 0; at < body.size(); at += most) {
                reader.feed(std::string_view(body).substr(at, most));
            }
            EXPECT_EQ(reader.text_characters(), 4006U);
            reader.stop();
            EXPECT_EQ(reader.text_characters(), 4006U);
            reader.finish();
            EXPECT_EQ(reader.text_characters(), 4006U);
        }
    }
}

TEST(UnreadableBytes, ABinaryStreamThatBreaksIsText) {
    const std::string good = event("contentBlockDelta", R"({"delta":{"text":"Hi"}})");
    const std::string body = good + kLong;
    EXPECT_EQ(unreadable(AnswerKind::kEventStream, body), body.size() - 2);
    EXPECT_EQ(unreadable(AnswerKind::kEventStream, body, 50, true), body.size() - 2);
    EXPECT_EQ(unreadable(AnswerKind::kEventStream, good), 0U);
}

TEST(UnreadableBytes, ScalarsAreTextOfAnEvent) {
    EXPECT_EQ(unreadable(AnswerKind::kSse, "data: 12345\n\ndata:  true\n\ndata: \"abc\"\n\n"),
              5U + 5U + 5U);
    EXPECT_EQ(unreadable(AnswerKind::kSse, "data:  {}\n\ndata: [1]\n\ndata: [DONE]\n\ndata:\n\n"),
              0U);
    EXPECT_EQ(unreadable(AnswerKind::kLines, "{}\n12345\n"), 5U);
}

TEST(UnreadableBytes, TgiEndsWithAllOfItsText) {
    UsageReader reader(AnswerKind::kSse, nullptr);
    reader.feed("data: {\"token\":{\"text\":\"x\"},\"generated_text\":null}\n\n");
    EXPECT_FALSE(reader.is_finished());
    reader.feed("data: {\"token\":{\"text\":\"y\"},\"generated_text\":\"" + kLong +
                "\",\"details\":{\"generated_tokens\":300,\"input_length\":10}}\n\n");
    reader.stop();
    EXPECT_TRUE(reader.is_finished());
}

}  // namespace
}  // namespace ai_limit
