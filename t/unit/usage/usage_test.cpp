// Answers that are not streamed.

#include "core/usage/usage.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "usage_answer.h"

namespace ai_limit {
namespace {

AnswerFields json(std::string_view body) {
    return read_answer(AnswerKind::kJson, body);
}

TEST(Usage, ReadsOpenAiChat) {
    expect(json(R"({"id":"c1","object":"chat.completion","choices":[{"index":0,"message":{"role":
        "assistant","content":"Hello!","refusal":null,"tool_calls":[{"id":"t","type":"function",
        "function":{"name":"f","arguments":"{\"a\":1}"}}]},"finish_reason":"stop"}],"usage":{
        "prompt_tokens":12,"completion_tokens":100,"total_tokens":112,"prompt_tokens_details":{
        "cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":90}}})"),
           12, 100, 4, 6 + 7);
    expect(json(R"({"choices":[{"text":"ab"},{"text":"c"}],"usage":{"prompt_tokens":1,
        "completion_tokens":2,"total_tokens":3}})"),
           1, 2, 0, 3);
}

TEST(Usage, ReadsEmbeddings) {
    expect(json(R"({"object":"list","data":[{"embedding":[0.1,-2e-3]}],
        "usage":{"prompt_tokens":8,"total_tokens":8}})"),
           8, 0, 0, 0);
    expect(json(R"({"usage":{"total_tokens":8}})"), 8, 0, 0, 0);
}

TEST(Usage, ReadsOpenAiResponses) {
    expect(json(R"({"id":"r1","object":"response","output":[{"type":"reasoning","summary":[{
        "type":"summary_text","text":"abc"}]},{"type":"message","content":[{"type":"output_text",
        "text":"Hi"}]},{"type":"function_call","arguments":"{}","name":"f"}],"usage":{
        "input_tokens":10,"input_tokens_details":{"cached_tokens":2},"output_tokens":5,
        "output_tokens_details":{"reasoning_tokens":3},"total_tokens":15}})"),
           10, 5, 2, 3 + 2 + 2);
}

TEST(Usage, ReadsAnthropic) {
    expect(json(R"({"id":"m1","type":"message","role":"assistant","content":[{"type":"thinking",
        "thinking":"Hm","signature":"abc"},{"type":"text","text":"Hello"},{"type":"tool_use",
        "id":"t","name":"f","input":{"a": [1]}}],"usage":{"input_tokens":50,"output_tokens":30,
        "cache_creation_input_tokens":100,"cache_read_input_tokens":200,
        "cache_creation":{"ephemeral_5m_input_tokens":100}}})"),
           350, 30, 200, 2 + 5 + 10);
}

TEST(Usage, ReadsGemini) {
    expect(json(R"({"candidates":[{"content":{"parts":[{"text":"plan","thought":true},
        {"text":"Hello"},{"functionCall":{"name":"f","args":{"b":2}}}],"role":"model"}}],
        "usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":3,"totalTokenCount":20,
        "thoughtsTokenCount":10,"toolUsePromptTokenCount":2,"cachedContentTokenCount":1}})"),
           7, 13, 1, 4 + 5 + 7);
    expect(json(R"({"usageMetadata":{"promptTokenCount":5,"totalTokenCount":5}})"), 5, 0, 0, 0);
}

TEST(Usage, ReadsCohere) {
    expect(json(R"({"message":{"role":"assistant","tool_plan":"I go","content":[{"type":"text",
        "text":"Hello"}],"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]},"usage":{
        "billed_units":{"input_tokens":5,"output_tokens":4},"tokens":{"input_tokens":71.0,
        "output_tokens":40}}})"),
           71, 40, 0, 4 + 5 + 2);
    expect(json(R"({"embeddings":{},"meta":{"billed_units":{"input_tokens":5}}})"), 5, 0, 0, 0);
}

TEST(Usage, ReadsOllama) {
    expect(json(R"({"model":"llama3.2","message":{"role":"assistant","content":"Hi","tool_calls":[
        {"function":{"name":"f","arguments":{"a":1}}}]},"done":true,"prompt_eval_count":26,
        "eval_count":282,"eval_duration":4709213000})"),
           26, 282, 0, 2 + 7);
    expect(json(R"({"response":"Hello","done":true,"prompt_eval_count":1,"eval_count":2})"), 1, 2,
           0, 5);
}

TEST(Usage, ReadsBedrockConverse) {
    expect(json(R"({"metrics":{"latencyMs":5},"output":{"message":{"content":[{"text":"Hi"},
        {"reasoningContent":{"reasoningText":{"text":"why"}}},{"toolUse":{"input":{"x":1},
        "name":"f"}}],"role":"assistant"}},"stopReason":"end_turn","usage":{"inputTokens":30,
        "outputTokens":628,"totalTokens":668,"cacheReadInputTokens":6,"cacheWriteInputTokens":4}})"),
           40, 628, 6, 2 + 3 + 7);
}

TEST(Usage, ReadsHeadersIfTheBodyHasNoUsage) {
    UsageReader reader(AnswerKind::kJson, nullptr);
    EXPECT_FALSE(reader.has_usage());
    reader.header("X-Amzn-Bedrock-Input-Token-Count", "12");
    reader.header("x-amzn-bedrock-output-token-count", "34");
    reader.header("X-Amzn-Bedrock-Cache-Read-Input-Token-Count", "100");
    reader.header("X-Amzn-Bedrock-Cache-Write-Input-Token-Count", "1000");
    EXPECT_EQ(reported(reader), (AnswerFields{1112, 34, 100, 0, false}));
    reader.feed(R"({"content":[{"text":"x"}],"usage":{"input_tokens":7,"output_tokens":5}})");
    reader.finish();
    EXPECT_EQ(reported(reader), (AnswerFields{7, 5, 0, 1, false}));
}

TEST(Usage, ReadsTheHeadersOfTgi) {
    UsageReader reader(AnswerKind::kOther, nullptr);
    reader.header("x-prompt-tokens", "12");
    reader.header("x-generated-tokens", "34");
    reader.feed("\xFF what kind this is, nobody knows");
    reader.finish();
    EXPECT_EQ(reported(reader), (AnswerFields{12, 34, 0, 0, false}));
}

TEST(Usage, ReadsTheInputOfEmbeddingsFromAHeader) {
    UsageReader reader(AnswerKind::kJson, nullptr);
    reader.header("X-Compute-Tokens", "12");
    reader.feed("[[0.1,-0.2],[0.3,0.4]]");
    reader.finish();
    EXPECT_EQ(reported(reader).input, 12);
    EXPECT_EQ(reader.text_characters(), 0);
}

TEST(Usage, StopsAnArrayOfChunksAtAnError) {
    UsageReader reader(AnswerKind::kJson, nullptr);
    reader.feed(R"([{"candidates":[{"content":{"parts":[{"text":"Hello"}]}}],"usageMetadata":{)"
                R"("promptTokenCount":9,"candidatesTokenCount":1,"totalTokenCount":10}},)"
                R"({"error":{"code":503,"status":"UNAVAILABLE"}}])");
    reader.finish();
    EXPECT_FALSE(reader.is_finished());
}

TEST(Usage, AcceptsOnlyWholeNumbersInHeaders) {
    UsageReader reader(AnswerKind::kOther, nullptr);
    for (const char* value : {"", "-1", "12 ", "1.0", "0x10", "many"}) {
        reader.header("x-prompt-tokens", value);
    }
    reader.header("x-prompt-tokenss", "1");
    reader.header("", "1");
    EXPECT_FALSE(reader.has_usage());
    reader.header("x-prompt-tokens", "99999999999999999999999999");
    EXPECT_EQ(reader.reported().counts.input, kMaxAmount);
}

TEST(Usage, CapsALongStringOfDigits) {
    const std::string many(33, '9');
    expect(json("{\"usage\":{\"prompt_tokens\":\"" + many + "\",\"completion_tokens\":\"" + many +
                many + "\"}}"),
           kMaxAmount, kMaxAmount, 0, 0);
    expect(json("{\"usage\":{\"prompt_tokens\":\"12." + std::string(40, '3') +
                "\",\"completion_tokens\":\"1" + std::string(40, '0') + ".5\"}}"),
           13, kMaxAmount, 0, 0);
    EXPECT_EQ(json("{\"usage\":{\"prompt_tokens\":\"" + std::string(40, 'x') + "\"}}").input,
              kUnknown);
}

TEST(Usage, IgnoresUsageThatAModelWrites) {
    EXPECT_EQ(json(R"({"content":[{"type":"tool_use","input":{"usage":{"input_tokens":1},"u":[{
        "usage":{"output_tokens":2}}]}},{"type":"text","text":"\"usage\":{\"input_tokens\":3}"}],
        "metadata":{"usage":{"input_tokens":4}}})")
                  .input,
              kUnknown);
    EXPECT_EQ(json(R"({"candidates":[{"content":{"parts":[{"functionCall":{"args":{"usageMetadata":{
        "promptTokenCount":1}}}}]}}]})")
                  .input,
              kUnknown);
    EXPECT_EQ(json(R"({"message":{"tool_calls":[{"function":{"arguments":{"eval_count":1,"usage":{
        "prompt_tokens":1}}}}]}})")
                  .input,
              kUnknown);
    EXPECT_EQ(json(R"([{"usage":{"prompt_tokens":1}}])").input, kUnknown);
    EXPECT_EQ(json(R"({"usage":[{"prompt_tokens":1}],"usage.prompt_tokens":1})").input, kUnknown);
}

TEST(Usage, IgnoresCountsThatAreNoNumbers) {
    for (const std::string value :
         {"null", "\"many\"", "\"\"", "-5", "true", "[12]", "{\"prompt_tokens\":12}"}) {
        const AnswerFields result = json("{\"usage\":{\"prompt_tokens\":" + value + "}}");
        EXPECT_EQ(result, AnswerFields()) << value;
        const AnswerFields again =
            json("{\"usage\":{\"prompt_tokens\":7,\"prompt_tokens\":" + value + "}}");
        EXPECT_EQ(again.input, 7U) << value;
    }
    EXPECT_EQ(json("{\"usage\":{\"prompt_tokens\":7,\"prompt_tokens\":8}}").input, 8U);
    EXPECT_EQ(json(R"({"usage":null,"us\u0061ge":{"prompt_tokens":9}})").input, 9U);
}

TEST(Usage, AcceptsFractionsAndStringsOfDigitsAsCounts) {
    const std::pair<std::string, Amount> counts[] = {
        {"1.2e1", 12},
        {"37.25", 38},
        {"\"12\"", 12},
        {"\"37.25\"", 38},
        {"0", 0},
        {"\"\\u0031\"", 1},
        {"1000000000001", kMaxAmount},
        {"1e400", kMaxAmount},
        {std::string(70, '9'), kMaxAmount},
        {"37." + std::string(70, '0'), 37},
        {std::string(63, '9') + ".5", kMaxAmount},
    };
    for (const auto& [text, count] : counts) {
        EXPECT_EQ(json("{\"usage\":{\"prompt_tokens\":" + text + "}}").input, count) << text;
    }
}

TEST(Usage, IgnoresALongNegativeNumber) {
    EXPECT_EQ(json("{\"usage\":{\"prompt_tokens\":-" + std::string(70, '9') + "}}"),
              AnswerFields());
}

TEST(Usage, KeepsTheLargestCount) {
    EXPECT_EQ(json("{\"usage\":{\"prompt_tokens\":7,\"prompt_tokens\":0}}").input, 7U);
}

TEST(Usage, CountsTextInCharacters) {
    expect(json(R"({"choices":[{"message":{"content":"a\nb\u00e9\ud83d\ude00é"}}]})"), kUnknown,
           kUnknown, 0, 3 + 1 + 1 + 1);
}

TEST(Usage, CountsReasoningUnderTwoNamesOnce) {
    EXPECT_EQ(json(R"({"choices":[{"message":{"reasoning":"abc","reasoning_content":"abc",
        "content":"d"}}]})")
                  .text,
              4U);
    EXPECT_EQ(json(R"({"choices":[{"message":{"reasoning_content":"abc"}}]})").text, 3U);
}

TEST(Usage, ReportsInvalidJsonAsMalformed) {
    EXPECT_FALSE(json("").malformed);
    EXPECT_FALSE(json(" \r\n").malformed);
    EXPECT_FALSE(json("{}\n").malformed);
    EXPECT_TRUE(json("{").malformed);
    EXPECT_TRUE(json("<html>").malformed);
    EXPECT_TRUE(json("{}{}").malformed);
    EXPECT_TRUE(json("{} {}\n").malformed);
    EXPECT_TRUE(json("[DONE]").malformed);
    EXPECT_EQ(json(R"({"usage":{"prompt_tokens":7,"completion_tokens":1},"cho)"),
              (AnswerFields{7, 1, 0, 0, true}));
}

TEST(Usage, ReportsACutBodyAsMalformedOnlyAtItsEnd) {
    UsageReader reader(AnswerKind::kJson, nullptr);
    reader.feed(R"({"choices":[{"message":{"content":"half a sen)");
    EXPECT_FALSE(reader.malformed());
    EXPECT_EQ(reader.text_characters(), 10U);
    reader.finish();
    EXPECT_TRUE(reader.malformed());
}

TEST(Usage, ReadsDocumentsOfAnySizeAndDepth) {
    const std::string text(10'000'000, 'x');
    const std::string nested = std::string(100'000, '[') + std::string(100'000, ']');
    const std::string body = "{\"a\":" + nested + ",\"choices\":[{\"message\":{\"content\":\"" +
                             text + "\"}}],\"usage\":{\"prompt_tokens\":5}}";
    for (const size_t most : {body.size(), size_t{4096}}) {
        const AnswerFields result = read_answer(AnswerKind::kJson, body, most);
        EXPECT_EQ(result, (AnswerFields{5, 0, 0, 10'000'000, false}));
    }
    const AnswerFields open = read_answer(AnswerKind::kJson, std::string(1'000'000, '['), 4096);
    EXPECT_EQ(open, (AnswerFields{kUnknown, kUnknown, 0, 0, true}));
}

}  // namespace
}  // namespace ai_limit
