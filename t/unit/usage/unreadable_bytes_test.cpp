// Text that stands where no provider's table looks for text.

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "core/usage/usage.h"
#include "event_stream_message.h"
#include "usage_answer.h"

namespace ai_limit {
namespace {

const std::string kLong(4000, 'x');

/** Reads a body in pieces of at most `most` bytes, and ends it or cuts it there. */
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

TEST(UnreadableBytes, CountPlainTextThatBeginsLikeAnotherKind) {
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

TEST(UnreadableBytes, ReadAStreamLabelledAsPlainText) {
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

TEST(UnreadableBytes, CountStringsOfAnUnknownDocumentAsText) {
    EXPECT_EQ(unreadable(AnswerKind::kJson, "{\"answer\":\"" + kLong + "\"}"), 4000U);
    EXPECT_EQ(unreadable(AnswerKind::kJson, "{\"a\":{\"b\":[\"" + kLong + "\",1]}}"), 4000U);
    EXPECT_EQ(unreadable(AnswerKind::kJson, "\"" + kLong + "\""), 4000U);
    EXPECT_EQ(unreadable(AnswerKind::kJson, "{\"answer\":\"" + kLong, 100, true), 4000U);
    EXPECT_EQ(unreadable(AnswerKind::kJson, R"({"id":"abcd","content":"x"})"), 0U);
    EXPECT_EQ(unreadable(AnswerKind::kJson, R"({"id":"abcd","usage":{"total_tokens":8}})"), 0U);
}

/** Streams of APIs that no table knows: OpenAI's Assistants are one of them. */
TEST(UnreadableBytes, CountStringsOfUnknownEventsAsText) {
    const std::string document =
        "{\"id\":\"msg_1\",\"object\":\"thread.message.delta\",\"delta\":{\"content\":[{\"index\":"
        "0,"
        "\"text\":{\"value\":\"" +
        kLong + "\"}}]}}";
    for (const auto& [kind, body] :
         {std::pair{AnswerKind::kSse, "data: " + document + "\n\n"},
          std::pair{AnswerKind::kSse, "event: x\ndata: {\"words\":[\"" + kLong + "\"]}\n\n"},
          std::pair{AnswerKind::kLines, document + "\n"},
          std::pair{AnswerKind::kEventStream, event("x", document)}}) {
        EXPECT_EQ(unreadable(kind, body), 4000U) << body.substr(0, 60);
        EXPECT_EQ(unreadable(kind, body + body), 8000U) << body.substr(0, 60);
        for (size_t cut = body.find("xxx"); cut < body.size() - 100; cut += 391) {
            const size_t text = cut - body.find("xxx");
            for (const size_t most : {size_t{1}, size_t{100}, cut}) {
                if (kind != AnswerKind::kEventStream) {
                    EXPECT_EQ(unreadable(kind, body.substr(0, cut), most, true), text);
                }
            }
        }
    }
    const std::string known = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
    const std::string unknown = "data: {\"a\":\"" + kLong + "\"}\n\n";
    EXPECT_EQ(unreadable(AnswerKind::kSse, unknown + known), 0U);
    EXPECT_EQ(unreadable(AnswerKind::kSse,
                         unknown + "data: {\"usage\":{\"output_tokens\":5}}\n\ndata: [DONE]\n\n"),
              0U);
    EXPECT_EQ(unreadable(AnswerKind::kSse, "data: {\"usage\":{\"input_tokens\":5}}\n\n" + unknown),
              4000U);
}

TEST(UnreadableBytes, CountNoTextInKnownEventsWithoutText) {
    for (const char* body : {
             ": ping\n\ndata: {\"type\":\"ping\"}\n\n",
             "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":17,"
             "\"model\":\"gpt-5\",\"system_fingerprint\":\"fp_1\",\"choices\":[{\"index\":0,"
             "\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n"
             "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{},"
             "\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
             "data: {\"choices\":[],\"prompt_filter_results\":[{\"content_filter_results\":{"
             "\"hate\":{\"filtered\":false,\"severity\":\"safe\"}}}]}\n\n",
             "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\","
             "\"role\":\"assistant\",\"model\":\"c\",\"content\":[],\"stop_reason\":null}}\n\n"
             "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
             "\"text\",\"text\":\"\"}}\n\n",
             "data: "
             "{\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"instructions\":"
             "\"Be brief.\",\"tools\":[{\"name\":\"f\"}],\"usage\":null}}\n\n"
             "data: {\"type\":\"response.output_item.added\",\"item\":{\"id\":\"i\",\"type\":"
             "\"message\",\"status\":\"in_progress\",\"role\":\"assistant\",\"content\":[]}}\n\n",
             "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":"
             "\"Overloaded\"}}\n\n",
             "data: {\"candidates\":[{\"content\":{\"role\":\"model\"},\"finishReason\":\"STOP\","
             "\"safetyRatings\":[{\"category\":\"HARM\",\"probability\":\"LOW\"}]}],"
             "\"modelVersion\":\"g\"}\n\n",
         }) {
        EXPECT_EQ(unreadable(AnswerKind::kSse, body), 0U) << body;
    }
    EXPECT_EQ(
        unreadable(AnswerKind::kLines,
                   "{\"model\":\"m\",\"created_at\":\"2026\",\"message\":{\"role\":"
                   "\"assistant\",\"content\":\"\"},\"done_reason\":\"load\",\"done\":true}\n"),
        0U);
    EXPECT_EQ(unreadable(AnswerKind::kEventStream,
                         event("messageStart", R"({"p":"abcd","role":"assistant"})") +
                             event("messageStop", R"({"p":"ab","stopReason":"end_turn"})")),
              0U);
}

TEST(UnreadableBytes, CountNoFilesInBase64IfTheAnswerIsCut) {
    for (
        const char* document : {
            R"({"type":"image_generation.partial_image","b64_json":")",
            R"({"type":"speech.audio.delta","audio":")",
            R"({"type":"response.image_generation_call.partial_image","partial_image_b64":")",
            R"({"type":"response.output_item.done","item":{"type":"image_generation_call","result":")",
            R"({"type":"response.audio.delta","response_id":"","audio":")",
            R"({"choices":[{"delta":{"audio":{"data":")",
            R"({"choices":[{"delta":{"images":[{"image_url":{"url":")",
            R"({"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":")",
            R"({"event_type":"step.delta","delta":{"type":"image","data":")",
        }) {
        EXPECT_EQ(unreadable(AnswerKind::kSse, "data: " + std::string(document) + kLong), 0U)
            << document;
    }
    for (const char* document : {
             R"({"data":[{"b64_json":")",
             R"({"data":[{"embedding":")",
             R"({"output":[{"type":"","result":")",
             R"({"choices":[{"message":{"audio":{"data":")",
             R"({"candidates":[{"content":{"parts":[{"inlineData":{"data":")",
             R"([{"candidates":[{"content":{"parts":[{"inlineData":{"data":")",
             R"({"outputs":[{"type":"","data":")",
             R"({"steps":[{"content":[{"data":")",
         }) {
        EXPECT_EQ(unreadable(AnswerKind::kJson, std::string(document) + kLong), 0U) << document;
    }
}

TEST(UnreadableBytes, CountNoNumbersThatPythonWritesAsText) {
    std::string vector = "{\"data\":[{\"embedding\":[NaN,-Infinity,Infinity";
    for (int i = 0; i < 1000; ++i) {
        vector += ",0.123456789";
    }
    vector += "]}],\"usage\":{\"prompt_tokens\":8,\"total_tokens\":8}}";
    EXPECT_EQ(unreadable(AnswerKind::kJson, vector), 0U);
    EXPECT_EQ(read_answer(AnswerKind::kJson, vector, 100), (AnswerFields{8, 0, 0, 0, false}));
    EXPECT_EQ(unreadable(AnswerKind::kJson, "{\"usage\":{\"total_tokens\":8},\"data\":[nan,1]}"),
              0U);
}

TEST(UnreadableBytes, IgnoreACountThatIsNoNumber) {
    EXPECT_EQ(read_answer(AnswerKind::kJson, R"({"usage":{"prompt_tokens":NaN}})"), AnswerFields());
}

TEST(UnreadableBytes, CountArgumentsOfAToolThatAreCut) {
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

TEST(UnreadableBytes, CountABrokenBinaryStreamAsText) {
    const std::string good = event("contentBlockDelta", R"({"delta":{"text":"Hi"}})");
    const std::string body = good + kLong;
    EXPECT_EQ(unreadable(AnswerKind::kEventStream, body), body.size() - 2);
    EXPECT_EQ(unreadable(AnswerKind::kEventStream, body, 50, true), body.size() - 2);
    EXPECT_EQ(unreadable(AnswerKind::kEventStream, good), 0U);
}

TEST(UnreadableBytes, CountScalarsOfAnEventAsText) {
    EXPECT_EQ(unreadable(AnswerKind::kSse, "data: 12345\n\ndata:  true\n\ndata: \"abc\"\n\n"),
              5U + 5U + 5U);
    EXPECT_EQ(unreadable(AnswerKind::kSse, "data:  {}\n\ndata: [1]\n\ndata: [DONE]\n\ndata:\n\n"),
              0U);
    EXPECT_EQ(unreadable(AnswerKind::kLines, "{}\n12345\n"), 5U);
}

TEST(UnreadableBytes, FinishTgiAtTheEventWithAllOfItsText) {
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
