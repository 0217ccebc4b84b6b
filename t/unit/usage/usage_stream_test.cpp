// Answers that are streamed.

#include <gtest/gtest.h>

#include <string>

#include "core/usage/usage.h"
#include "event_stream_message.h"
#include "usage_answer.h"

namespace ai_limit {
namespace {

AnswerFields sse(std::string_view body) {
    return read_answer(AnswerKind::kSse, body);
}

AnswerFields lines(std::string_view body) {
    return read_answer(AnswerKind::kLines, body);
}

TEST(UsageStream, ReadsOpenAiChat) {
    expect(
        sse("data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
            "\"finish_reason\":null}],\"usage\":null,\"obfuscation\":\"ab\"}\n\n"
            "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}],\"usage\":null}\n\n"
            ": keep-alive\n\n"
            "data: {\"choices\":[{\"delta\":{\"content\":\"lo\\n\"}}],\"usage\":null}\n\n"
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n"
            "data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":12,"
            "\"completion_tokens\":100,\"total_tokens\":112,\"completion_tokens_details\":{"
            "\"reasoning_tokens\":100}},\"obfuscation\":\"t9\"}\n\n"
            "data: [DONE]\n\n"),
        12, 100, 0, 6);
}

TEST(UsageStream, CountsTextIfThereIsNoUsage) {
    expect(sse("data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}],\"usage\":null}\n\n"
               "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{"
               "\"arguments\":\"{\\\"a\"}}]}}]}\n\n"
               "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n"
               "data: {\"choices\":[{\"text\":\"abc\"}]}\n\n"
               "data: [DONE]\n\n"),
           kUnknown, kUnknown, 0, 2 + 3 + 2 + 3);
}

TEST(UsageStream, DoesNotAddUpCumulativeCounts) {
    expect(sse("data: {\"choices\":[{\"text\":\"a\"}],\"usage\":{\"prompt_tokens\":5,"
               "\"completion_tokens\":1,\"total_tokens\":6}}\n\n"
               "data: {\"choices\":[{\"text\":\"b\"}],\"usage\":{\"prompt_tokens\":5,"
               "\"completion_tokens\":2,\"total_tokens\":7}}\n\n"
               "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":null}}\n\n"),
           5, 2, 0, 2);
}

TEST(UsageStream, ReadsOpenAiResponses) {
    const std::string created =
        "event: response.created\n"
        "data: {\"type\":\"response.created\",\"response\":{\"id\":\"r1\",\"usage\":null}}\n\n";
    const std::string texts =
        "event: response.output_text.delta\n"
        "data: "
        "{\"type\":\"response.output_text.delta\",\"delta\":\"Hel\",\"obfuscation\":\"x\"}\n\n"
        "data: {\"delta\":\"lo\",\"type\":\"response.output_text.delta\"}\n\n"
        "data: {\"type\":\"response.function_call_arguments.delta\",\"delta\":\"{}\"}\n\n"
        "data: {\"type\":\"response.audio.delta\",\"delta\":\"AAAABBBB\"}\n\n"
        "data: {\"delta\":\"AAAABBBB\",\"type\":\"response.audio.delta\"}\n\n"
        "data: {\"type\":\"response.output_text.done\",\"text\":\"Hello\"}\n\n"
        "data: {\"type\":\"response.output_item.done\",\"item\":{\"content\":[{\"text\":\"Hello\"}]"
        "}}\n\n";
    const std::string completed =
        "data: "
        "{\"type\":\"response.completed\",\"response\":{\"id\":\"r1\",\"output\":[{\"content\""
        ":[{\"text\":\"Hello\"}]}],\"usage\":{\"input_tokens\":10,\"input_tokens_details\":{"
        "\"cached_tokens\":2},\"output_tokens\":5,\"total_tokens\":15}}}\n\n";
    expect(sse(created + texts + completed), 10, 5, 2, 7);
    expect(sse(created + texts), kUnknown, kUnknown, 0, 7);
}

TEST(UsageStream, ReadsAnthropic) {
    expect(
        sse("event: message_start\n"
            "data: "
            "{\"type\":\"message_start\",\"message\":{\"id\":\"m1\",\"content\":[],\"usage\":{"
            "\"input_tokens\":50,\"output_tokens\":1,\"cache_creation_input_tokens\":100,"
            "\"cache_read_input_tokens\":200}}}\n\n"
            "event: content_block_start\n"
            "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
            "\"text\",\"text\":\"\"}}\n\n"
            "event: ping\ndata: {\"type\": \"ping\"}\n\n"
            "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":"
            "\"Hello\"}}\n\n"
            "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"thinking_delta\","
            "\"thinking\":\"hm\"}}\n\n"
            "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"signature_delta\","
            "\"signature\":\"abc\"}}\n\n"
            "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"input_json_delta\","
            "\"partial_json\":\"{\\\"usage\\\":\"}}\n\n"
            "event: message_delta\n"
            "data: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":15}}\n\n"
            "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{"
            "\"input_tokens\":null,\"output_tokens\":30}}\n\n"
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
        350, 30, 200, 5 + 2 + 9);
}

constexpr std::string_view kGeminiChunks[] = {
    R"({"candidates":[{"content":{"parts":[{"text":"Hel"}]}}],"usageMetadata":{"x":1}})",
    R"({"candidates":[{"content":{"parts":[{"text":"lo"}]}}],"usageMetadata":{
        "promptTokenCount":5,"candidatesTokenCount":1,"totalTokenCount":6}})",
    R"({"candidates":[],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":3,
        "totalTokenCount":18,"thoughtsTokenCount":10,"cachedContentTokenCount":4}})",
};

TEST(UsageStream, ReadsGeminiAsEvents) {
    std::string body;
    for (const std::string_view document : kGeminiChunks) {
        body += "data: ";
        for (const char c : document) {
            body += c;
            body += c == '\n' ? "data:" : "";
        }
        body += "\r\n\r\n";
    }
    expect(sse(body), 5, 13, 4, 5);
}

TEST(UsageStream, ReadsGeminiAsAnArray) {
    const std::string body = "[" + std::string(kGeminiChunks[0]) + "\n,\r\n" +
                             std::string(kGeminiChunks[1]) + "," + std::string(kGeminiChunks[2]) +
                             "\n]\n";
    expect(read_answer(AnswerKind::kJson, body), 5, 13, 4, 5);
}

TEST(UsageStream, ReadsCohere) {
    expect(sse("event: content-delta\ndata: {\"type\":\"content-delta\",\"delta\":{\"message\":{"
               "\"content\":{\"text\":\"Hi\"}}}}\n\n"
               "data: {\"type\":\"tool-call-delta\",\"delta\":{\"message\":{\"tool_calls\":{"
               "\"function\":{\"arguments\":\"{}\"}}}}}\n\n"
               "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":"
               "\"COMPLETE\",\"usage\":{\"billed_units\":{\"input_tokens\":5,\"output_tokens\":4},"
               "\"tokens\":{\"input_tokens\":71,\"output_tokens\":40}}}}\n\n"),
           71, 40, 0, 4);
}

TEST(UsageStream, ReadsOllama) {
    expect(lines("{\"model\":\"llama3.2\",\"message\":{\"content\":\"Hel\"},\"done\":false}\n"
                 "{\"message\":{\"content\":\"lo\",\"tool_calls\":[{\"function\":{\"arguments\":{"
                 "\"eval_count\":7}}}]},\"done\":false}\r\n"
                 "\n"
                 "{\"response\":\"!\",\"done\":false}\n"
                 "{\"model\":\"llama3.2\",\"done\":true,\"prompt_eval_count\":26,"
                 "\"eval_count\":282}"),
           26, 282, 0, 3 + 2 + 16 + 1);
    expect(lines("{\"model\":\"llama3.2\",\"response\":\"\",\"done\":true}\n"), kUnknown, kUnknown,
           0, 0);
}

TEST(UsageStream, ReadsDocumentsAfterRecordSeparators) {
    expect(lines("\x1E{\"response\":\"a\"}\n\x1E\x1E{\"eval_count\":2}\n"), 0, 2, 0, 1);
    EXPECT_TRUE(lines("{\x1E}\n").malformed);
}

TEST(UsageStream, ReadsBedrockConverse) {
    const std::string texts =
        event("messageStart", R"({"role":"assistant"})") +
        event("contentBlockDelta", R"({"contentBlockIndex":0,"delta":{"text":"Hel"},"p":"ab"})") +
        event("contentBlockDelta", R"({"delta":{"toolUse":{"input":"{}"}}})") +
        event("contentBlockDelta", R"({"delta":{"reasoningContent":{"text":"why"}}})") +
        event("messageStop", R"({"stopReason":"end_turn"})");
    const std::string metadata =
        event("metadata", R"({"metrics":{"latencyMs":1},"usage":{"inputTokens":3,"outputTokens":7,
            "totalTokens":15,"cacheReadInputTokens":5,"cacheWriteInputTokens":0}})");
    expect(read_answer(AnswerKind::kEventStream, texts + metadata), 8, 7, 5, 3 + 2 + 3);
    expect(read_answer(AnswerKind::kEventStream, texts), kUnknown, kUnknown, 0, 8);
}

TEST(UsageStream, ReadsBedrockInvoke) {
    const std::string claude =
        chunk(R"({"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1,
            "cache_read_input_tokens":4,"cache_creation_input_tokens":0}}})") +
        chunk(R"({"type":"content_block_delta","delta":{"type":"text_delta","text":"H\u00e9"}})") +
        chunk(R"({"type":"message_delta","delta":{},"usage":{"output_tokens":12}})");
    const std::string metrics =
        chunk(R"({"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":10,
            "outputTokenCount":13,"invocationLatency":5,"firstByteLatency":2}})");
    expect(read_answer(AnswerKind::kEventStream, claude), 13, 12, 4, 2);
    expect(read_answer(AnswerKind::kEventStream, claude + metrics), 13, 12, 4, 2);
    expect(read_answer(AnswerKind::kEventStream, chunk(R"({"outputText":"abc"})") + metrics), 10,
           13, 0, 3);
}

TEST(UsageStream, ReportsWrongMessagesAsMalformed) {
    const auto malformed = [](std::string_view body) {
        return read_answer(AnswerKind::kEventStream, body).malformed;
    };
    EXPECT_FALSE(malformed(event("chunk", "{}") + event("metadata", "")));
    EXPECT_TRUE(malformed(event("metadata", "{")));
    EXPECT_TRUE(malformed(event("chunk", "{")));
    EXPECT_TRUE(malformed(event("chunk", R"({"bytes":"e30=","bytes":"!"})")));
    EXPECT_TRUE(malformed(event("chunk", R"({"bytes":"e30)")));
    EXPECT_TRUE(malformed(chunk("{]") + chunk("{}")));
    EXPECT_TRUE(malformed("this is none of it"));
    EXPECT_TRUE(malformed(event("metadata", "{}").substr(0, 91)));
}

TEST(UsageStream, ReadsEventsAsBrowsersDo) {
    const AnswerFields plain{5, 7, 0, 0, false};
    EXPECT_EQ(sse("data:{\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}\n\n"), plain);
    EXPECT_EQ(sse("data: {\"usage\":{\"prompt_tokens\":5,\ndata:\"completion_tokens\":7}}\n\n"),
              plain);
    EXPECT_EQ(sse("data: {\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}"), plain);
    EXPECT_EQ(sse("id: 1\r\ndata: {\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}\r\r"
                  "data: [DONE]\r\n\r\n"),
              plain);
    EXPECT_EQ(sse("da: {\"usage\":{\"prompt_tokens\":5}}\n\n"), AnswerFields());
}

TEST(UsageStream, ReportsEventsWithInvalidJsonAsMalformed) {
    EXPECT_FALSE(sse("").malformed);
    EXPECT_FALSE(sse(": ping\n\ndata:\n\ndata: [DONE]").malformed);
    EXPECT_TRUE(sse("data: {\"a\":\n\n").malformed);
    EXPECT_TRUE(sse("data: [DONE\n\n").malformed);
    EXPECT_TRUE(sse("data: [DONE]]\n\n").malformed);
    EXPECT_TRUE(sse("data: [DONE]\ndata: [DONE]\n\n").malformed);
    EXPECT_TRUE(sse("data: {\"choices\":[{\"delta\":{\"content\":\"Hal").malformed);
    EXPECT_TRUE(lines("{}\nnonsense\n{}\n").malformed);
    EXPECT_TRUE(lines("[DONE]\n").malformed);
    const AnswerFields after = sse("data: x\n\ndata: {\"usage\":{\"prompt_tokens\":5}}\n\n");
    EXPECT_EQ(after, (AnswerFields{5, 0, 0, 0, true}));
}

TEST(UsageStream, ReadsALongLine) {
    const std::string text(10'000'000, 'x');
    const std::string body = "data: {\"choices\":[{\"delta\":{\"content\":\"" + text +
                             "\"}}],\"usage\":{\"prompt_tokens\":5}}\n\n";
    EXPECT_EQ(read_answer(AnswerKind::kSse, body, 4096),
              (AnswerFields{5, 0, 0, 10'000'000, false}));
    const AnswerFields garbage = read_answer(AnswerKind::kSse, text, 4096);
    EXPECT_EQ(garbage, AnswerFields());
    EXPECT_TRUE(read_answer(AnswerKind::kLines, text, 4096).malformed);
}

}  // namespace
}  // namespace ai_limit
