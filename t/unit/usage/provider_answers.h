#pragma once

// One answer of each API, whole or streamed. All that the model writes consists of the letter Q,
// which stands nowhere else: so tests can tell by themselves how much text they have seen.

#include <algorithm>
#include <string>
#include <vector>

#include "core/answers/answer_kind.h"
#include "core/counts/token_counts.h"
#include "event_stream_message.h"

namespace ai_limit {

struct ProviderAnswer {
    const char* name;
    AnswerKind kind;
    std::string body;
    TokenCounts counts;
    std::string input_told_by;  // what tells all of the input; empty: several numbers
    bool repeats_text = false;  // each event has all of the text so far
};

inline std::string text(size_t size) {
    return std::string(size, 'Q');
}

inline std::string on_one_line(std::string document) {
    document.erase(std::remove(document.begin(), document.end(), '\n'), document.end());
    return document;
}

inline std::string sse(const std::vector<std::string>& documents) {
    std::string body;
    for (const std::string& document : documents) {
        body += "data: " + on_one_line(document) + "\n\n";
    }
    return body;
}

inline std::string lines(const std::vector<std::string>& documents) {
    std::string body;
    for (const std::string& document : documents) {
        body += document + "\n";
    }
    return body;
}

inline TokenCounts used(Amount input, Amount output, Amount cached = 0) {
    TokenCounts counts;
    counts.input = input;
    counts.output = output;
    counts.cached_input = cached;
    return counts;
}

inline TokenCounts with(TokenCounts counts, Amount TokenCounts::*part, Amount value) {
    counts.*part = value;
    return counts;
}

inline std::vector<ProviderAnswer> openai_answers() {
    const std::string q = text(40);
    const std::string delta =
        R"({"id":"c","model":"m","choices":[{"index":0,"delta":{"content":")" + q +
        R"("},"finish_reason":null}]})";
    const std::string usage =
        R"({"prompt_tokens":1000,"completion_tokens":300,"total_tokens":1300,
            "prompt_tokens_details":{"cached_tokens":40}})";
    return {
        {"OpenAI chat", AnswerKind::kJson,
         R"({"model":"m","choices":[{"message":{"content":")" + q +
             R"("},"finish_reason":"stop"}],"usage":)" + usage + "}",
         used(1000, 300, 40), "\"prompt_tokens\":1000"},
        {"OpenAI chat, stream", AnswerKind::kSse,
         sse({delta, delta, delta}) + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1000," +
             "\"completion_tokens\":300,\"total_tokens\":1300}}\n\ndata: [DONE]\n\n",
         used(1000, 300), "\"prompt_tokens\":1000"},
        {"vLLM, usage in each chunk", AnswerKind::kSse,
         sse({R"({"choices":[{"delta":{"content":")" + q +
                  R"("}}],"usage":{"prompt_tokens":1000,"completion_tokens":10,"total_tokens":1010}})",
              R"({"choices":[{"delta":{"content":")" + q +
                  R"("}}],"usage":{"prompt_tokens":1000,"completion_tokens":20,"total_tokens":1020}})",
              "[DONE]"}),
         used(1000, 20), "\"prompt_tokens\":1000"},
        {"Moonshot, stream", AnswerKind::kSse,
         sse({delta, delta,
              R"({"choices":[{"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":1000,
                  "completion_tokens":300,"total_tokens":1300,"cached_tokens":40}}]})",
              "[DONE]"}),
         used(1000, 300, 40), ""},
        {"OpenAI, cache writes and sound", AnswerKind::kJson,
         R"({"choices":[{"message":{"audio":{"transcript":")" + q +
             R"("}}}],"usage":{"prompt_tokens":1000,"completion_tokens":300,"total_tokens":1300,
             "prompt_tokens_details":{"cache_write_tokens":7,"audio_tokens":5},
             "completion_tokens_details":{"reasoning_tokens":9,"audio_tokens":200}}})",
         with(with(with(with(used(1000, 300), &TokenCounts::cache_write, 7),
                        &TokenCounts::audio_input, 5),
                   &TokenCounts::reasoning, 9),
              &TokenCounts::audio_output, 200),
         "\"prompt_tokens\":1000"},
        {"Responses", AnswerKind::kJson,
         R"({"output":[{"type":"web_search_call"},{"type":"message","content":[{"text":")" + q +
             R"("}]}],"usage":{"input_tokens":1000,"input_tokens_details":{"cached_tokens":40},
             "output_tokens":300,"output_tokens_details":{"reasoning_tokens":9},
             "total_tokens":1300}})",
         with(with(used(1000, 300, 40), &TokenCounts::searches, 1), &TokenCounts::reasoning, 9),
         "\"input_tokens\":1000"},
        {"Responses, stream", AnswerKind::kSse,
         sse({R"({"type":"response.created","response":{"usage":null}})",
              R"({"type":"response.output_text.delta","delta":")" + q + R"("})",
              R"({"type":"response.output_text.delta","delta":")" + q + R"("})",
              R"({"type":"response.completed","response":{"model":"m","usage":{"input_tokens":1000,
                  "output_tokens":300,"total_tokens":1300}}})"}),
         used(1000, 300), ""},
        {"transcription by duration", AnswerKind::kJson,
         R"({"text":")" + q + R"(","usage":{"type":"duration","seconds":11.47}})",
         with(used(0, 10), &TokenCounts::seconds, 12), ""},
        {"transcription, stream", AnswerKind::kSse,
         sse({R"({"type":"transcript.text.delta","delta":")" + q + R"("})",
              R"({"type":"transcript.text.done","text":")" + q +
                  R"(","usage":{"type":"tokens","input_tokens":1000,"input_token_details":{
                  "text_tokens":10,"audio_tokens":990},"output_tokens":300,"total_tokens":1300}})"}),
         with(used(1000, 300), &TokenCounts::audio_input, 990), "", true},
        {"images", AnswerKind::kJson,
         R"({"data":[{"b64_json":"AAAA"},{"b64_json":"BBBB"}],"usage":{"input_tokens":1000,
             "output_tokens":300,"total_tokens":1300}})",
         with(used(1000, 300), &TokenCounts::images, 2), "\"input_tokens\":1000"},
    };
}

inline std::vector<ProviderAnswer> anthropic_answers() {
    const std::string q = text(40);
    const std::string start =
        R"({"type":"message_start","message":{"model":"c","usage":{"input_tokens":600,
            "cache_read_input_tokens":400,"output_tokens":1}}})";
    const std::string delta =
        R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":")" + q +
        R"("}})";
    return {
        {"Anthropic", AnswerKind::kJson,
         R"({"content":[{"type":"text","text":")" + q +
             R"("}],"usage":{"input_tokens":600,"cache_read_input_tokens":300,
             "cache_creation_input_tokens":100,"cache_creation":{"ephemeral_5m_input_tokens":30,
             "ephemeral_1h_input_tokens":70},"output_tokens":300,"server_tool_use":{
             "web_search_requests":2},"service_tier":"standard"}})",
         with(with(with(used(1000, 300, 300), &TokenCounts::cache_write, 30),
                   &TokenCounts::cache_write_1h, 70),
              &TokenCounts::searches, 2),
         ""},
        {"Anthropic, stream", AnswerKind::kSse,
         sse({start, delta, R"({"type":"ping"})", delta,
              R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{
                  "input_tokens":0,"output_tokens":300}})",
              R"({"type":"message_stop"})"}),
         used(1000, 300, 400), "\"cache_read_input_tokens\":400"},
        {"Anthropic, compaction", AnswerKind::kJson,
         R"({"content":[{"type":"compaction","content":")" + q +
             R"("}],"usage":{"input_tokens":23,"output_tokens":10,"iterations":[{"type":
             "compaction","input_tokens":977,"output_tokens":290},{"type":"message",
             "input_tokens":23,"output_tokens":10}]}})",
         used(1000, 300), ""},
        {"Anthropic, compaction, stream", AnswerKind::kSse,
         sse({R"({"type":"message_start","message":{"usage":{"input_tokens":23,"output_tokens":1}}})",
              R"({"type":"content_block_delta","delta":{"type":"compaction_delta","content":")" +
                  q + R"("}})",
              R"({"type":"message_delta","usage":{"input_tokens":23,"output_tokens":10,"iterations":
                  [{"input_tokens":977,"output_tokens":290},{"input_tokens":23,
                  "output_tokens":10}]}})",
              R"({"type":"message_stop"})"}),
         used(1000, 300), ""},
    };
}

inline std::vector<ProviderAnswer> google_answers() {
    const std::string q = text(40);
    const std::string part = R"({"candidates":[{"content":{"parts":[{"text":")" + q + R"("}]})";
    const std::string usage =
        R"(,"usageMetadata":{"promptTokenCount":900,"toolUsePromptTokenCount":100,)"
        R"("candidatesTokenCount":200,"thoughtsTokenCount":100,"totalTokenCount":1300}})";
    const std::string early =
        part + R"(}],"usageMetadata":{"promptTokenCount":900,"toolUsePromptTokenCount":100,)"
               R"("totalTokenCount":1000}})";
    const std::string last = part + R"(,"finishReason":"STOP"}])" + usage;
    const TokenCounts counts = with(used(1000, 300), &TokenCounts::reasoning, 100);
    return {
        {"Gemini", AnswerKind::kJson, last, counts, ""},
        {"Gemini, events", AnswerKind::kSse, sse({early, early, last}), counts,
         "\"toolUsePromptTokenCount\":100"},
        {"Gemini, array", AnswerKind::kJson, "[" + early + ",\n" + early + ",\n" + last + "]",
         counts, "\"toolUsePromptTokenCount\":100"},
        {"Interactions", AnswerKind::kJson,
         R"({"outputs":[{"type":"text","text":")" + q +
             R"("}],"usage":{"total_input_tokens":1000,"total_cached_tokens":5,
             "total_output_tokens":200,"total_thought_tokens":100,"total_tokens":1300}})",
         with(used(1000, 300, 5), &TokenCounts::reasoning, 100), "\"total_input_tokens\":1000"},
        {"Interactions, stream", AnswerKind::kSse,
         sse({R"({"event_type":"interaction.created","interaction":{"model":"g"}})",
              R"({"event_type":"step.delta","delta":{"type":"text","text":")" + q + R"("}})",
              R"({"event_type":"interaction.completed","interaction":{"usage":{
                  "total_input_tokens":1000,"total_cached_tokens":5,"total_output_tokens":200,
                  "total_thought_tokens":100,"total_tokens":1300}}})",
              "[DONE]"}),
         with(used(1000, 300, 5), &TokenCounts::reasoning, 100), ""},
        {"Vertex predict", AnswerKind::kJson,
         R"({"predictions":[{"content":")" + q +
             R"("}],"metadata":{"tokenMetadata":{"inputTokenCount":{"totalTokens":1000},
             "outputTokenCount":{"totalTokens":300}}}})",
         used(1000, 300), ""},
        {"Vertex embeddings", AnswerKind::kJson,
         R"({"predictions":[{"embeddings":{"values":[0.1],"statistics":{"token_count":600}}},
             {"embeddings":{"statistics":{"token_count":400}}}]})",
         used(1000, 0), ""},
    };
}

inline std::vector<ProviderAnswer> other_answers() {
    const std::string q = text(40);
    return {
        {"Cohere, version 1, stream", AnswerKind::kLines,
         lines({R"({"event_type":"text-generation","text":")" + q + R"(","is_finished":false})",
                R"({"event_type":"stream-end","is_finished":true,"response":{"meta":{"tokens":{)"
                R"("input_tokens":1000,"output_tokens":300}}}})"}),
         used(1000, 300), ""},
        {"Ollama, stream", AnswerKind::kLines,
         lines({R"({"model":"m","message":{"content":")" + q + R"("},"done":false})",
                R"({"model":"m","message":{"content":")" + q + R"("},"done":false})",
                R"({"model":"m","done":true,"prompt_eval_count":1000,)"
                R"("prompt_eval_cached_count":40,"eval_count":300})"}),
         used(1000, 300, 40), "\"prompt_eval_count\":1000"},
        {"SGLang, stream", AnswerKind::kSse,
         sse({R"({"text":")" + q +
                  R"(","meta_info":{"prompt_tokens":1000,"completion_tokens":10}})",
              R"({"text":")" + q + q +
                  R"(","meta_info":{"prompt_tokens":1000,"completion_tokens":20,
                  "cached_tokens":40}})",
              "[DONE]"}),
         used(1000, 20, 40), "\"prompt_tokens\":1000", true},
        {"SGLang, two prompts", AnswerKind::kJson,
         R"([{"text":")" + q +
             R"(","meta_info":{"prompt_tokens":600,"completion_tokens":100}},{"text":")" + q +
             R"(","meta_info":{"prompt_tokens":400,"completion_tokens":200}}])",
         used(1000, 300), ""},
        {"LM Studio", AnswerKind::kJson,
         R"({"model_instance_id":"m","output":[{"type":"message","content":")" + q +
             R"("}],"stats":{"input_tokens":1000,"total_output_tokens":300,
             "reasoning_output_tokens":9}})",
         with(used(1000, 300), &TokenCounts::reasoning, 9), "\"input_tokens\":1000"},
        {"LM Studio, stream", AnswerKind::kSse,
         sse({R"({"type":"message.delta","content":")" + q + R"("})",
              R"({"type":"message.delta","content":")" + q + R"("})",
              R"({"type":"chat.end","result":{"stats":{"input_tokens":1000,
                  "total_output_tokens":300,"reasoning_output_tokens":9}}})"}),
         with(used(1000, 300), &TokenCounts::reasoning, 9), ""},
        {"Workers AI", AnswerKind::kJson,
         R"({"result":{"response":")" + q +
             R"(","usage":{"prompt_tokens":1000,"completion_tokens":300,"total_tokens":1300}}})",
         used(1000, 300), "\"prompt_tokens\":1000"},
        {"Workers AI, stream", AnswerKind::kSse,
         sse({R"({"response":")" + q + R"(","p":"ab"})", R"({"response":")" + q + R"(","p":"a"})",
              R"({"response":"","usage":{"prompt_tokens":1000,"completion_tokens":300}})",
              "[DONE]"}),
         used(1000, 300), ""},
        {"Yandex", AnswerKind::kJson,
         R"({"result":{"alternatives":[{"message":{"text":")" + q +
             R"("}}],"usage":{"inputTextTokens":"1000","completionTokens":"300",
             "totalTokens":"1300"}}})",
         used(1000, 300), "\"inputTextTokens\":\"1000\""},
        {"Replicate", AnswerKind::kJson,
         R"({"output":[")" + q + "\",\"" + q +
             R"("],"error":null,"metrics":{"input_token_count":1000,"output_token_count":300}})",
         used(1000, 300), "\"input_token_count\":1000"},
        {"DashScope", AnswerKind::kJson,
         R"({"output":{"choices":[{"message":{"content":")" + q +
             R"("}}]},"usage":{"input_tokens":1000,"output_tokens":300,"total_tokens":1300,
             "prompt_tokens_details":{"cached_tokens":40}}})",
         used(1000, 300, 40), "\"input_tokens\":1000"},
        {"DashScope, stream", AnswerKind::kSse,
         sse({R"({"output":{"choices":[{"message":{"content":")" + q +
                  R"("},"finish_reason":"null"}]},"usage":{"input_tokens":1000,)"
                  R"("output_tokens":10}})",
              R"({"output":{"choices":[{"message":{"content":")" + q + q +
                  R"("},"finish_reason":"stop"}]},"usage":{"input_tokens":1000,)"
                  R"("output_tokens":20}})"}),
         used(1000, 20), "\"input_tokens\":1000", true},
        {"Anthropic, arguments of a tool", AnswerKind::kJson,
         R"({"content":[{"type":"tool_use","name":"f","input":{"a":")" + q + "\",\"b\":[\"" + q +
             R"("]}}],"usage":{"input_tokens":1000,"output_tokens":300}})",
         used(1000, 300), "\"input_tokens\":1000"},
        {"Gemini, arguments of a tool in a stream", AnswerKind::kSse,
         sse({R"({"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":")" +
              q + "\",\"b\":\"" + q +
              R"("}}}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1000,
                  "candidatesTokenCount":300,"totalTokenCount":1300}})"}),
         used(1000, 300), ""},
        {"embeddings with a number of Python's", AnswerKind::kJson,
         R"({"data":[{"embedding":[0.25,NaN,-Infinity]}],"usage":{"prompt_tokens":1000,
             "total_tokens":1000}})",
         used(1000, 0), "\"prompt_tokens\":1000"},
        {"reranker", AnswerKind::kJson,
         R"({"results":[{"index":0,"relevance_score":0.9}],"meta":{"billed_units":{
             "search_units":1}}})",
         with(used(0, 0), &TokenCounts::searches, 1), ""},
        {"llama.cpp without usage", AnswerKind::kSse,
         sse({R"({"choices":[{"delta":{"content":")" + q + R"("}}]})",
              R"({"choices":[{"delta":{},"finish_reason":"stop"}],"timings":{"cache_n":960,
                  "prompt_n":40,"predicted_n":300}})",
              "[DONE]"}),
         used(1000, 300, 960), ""},
        {"Titan", AnswerKind::kJson,
         R"({"inputTextTokenCount":1000,"results":[{"tokenCount":100,"outputText":")" + q +
             R"("},{"tokenCount":200,"outputText":")" + q + R"("}]})",
         used(1000, 300), "\"inputTextTokenCount\":1000"},
        {"Converse, stream", AnswerKind::kEventStream,
         event("contentBlockDelta", R"({"delta":{"text":")" + q + R"("}})") +
             event("contentBlockDelta", R"({"delta":{"text":")" + q + R"("}})") +
             event("messageStop", R"({"stopReason":"end_turn"})") +
             event("metadata", R"({"usage":{"inputTokens":600,"outputTokens":300,
                 "totalTokens":1300,"cacheReadInputTokens":400}})"),
         used(1000, 300, 400), ""},
    };
}

/** Answers that tell parts of the input or output, images, searches or seconds. */
inline std::vector<ProviderAnswer> answers_with_parts() {
    const std::string q = text(40);
    const std::string sound =
        R"({"candidates":[{"content":{"parts":[{"text":")" + q +
        R"("},{"inlineData":{"mimeType":"image/png","data":"AAAA"}},{"inlineData":{
            "data":"AAAA","mimeType":"audio/wav"}}]},"finishReason":"STOP","groundingMetadata":{
            "webSearchQueries":["a","b"]}}],"usageMetadata":{"promptTokenCount":1000,
            "candidatesTokenCount":300,"totalTokenCount":1300,"promptTokensDetails":[
            {"modality":"TEXT","tokenCount":6},{"modality":"AUDIO","tokenCount":4}],
            "candidatesTokensDetails":[{"tokenCount":3,"modality":"AUDIO"}]}})";
    const std::string grounded =
        R"({"candidates":[{"content":{"parts":[{"text":")" + q +
        R"("}]},"groundingMetadata":{"webSearchQueries":["a","b"]}}],"usageMetadata":{)"
        R"("promptTokenCount":1000,"totalTokenCount":1000}})";
    const TokenCounts of_sound = with(with(with(with(used(1000, 300), &TokenCounts::audio_input, 4),
                                                &TokenCounts::audio_output, 3),
                                           &TokenCounts::images, 1),
                                      &TokenCounts::searches, 2);
    return {
        {"Gemini, sound and an image", AnswerKind::kJson, sound, of_sound, ""},
        {"Gemini, sound and an image, events", AnswerKind::kSse, sse({grounded, sound}), of_sound,
         "\"promptTokenCount\":1000"},
        {"Gemini, sound and an image, array", AnswerKind::kJson,
         "[" + grounded + ",\n" + sound + "]", of_sound, "\"promptTokenCount\":1000"},
        {"Interactions, sound", AnswerKind::kSse,
         sse({R"({"event_type":"step.delta","delta":{"type":"text","text":")" + q + R"("}})",
              R"({"event_type":"interaction.completed","interaction":{"usage":{
                  "total_input_tokens":1000,"input_tokens_by_modality":[{"modality":"audio",
                  "tokens":4},{"modality":"text","tokens":996}],"total_output_tokens":300,
                  "output_tokens_by_modality":[{"modality":"audio","tokens":3}],
                  "grounding_tool_count":[{"type":"google_search","count":2}]}}})"}),
         with(with(with(used(1000, 300), &TokenCounts::audio_input, 4), &TokenCounts::audio_output,
                   3),
              &TokenCounts::searches, 2),
         ""},
        {"Responses, an image", AnswerKind::kJson,
         R"({"output":[{"type":"image_generation_call","result":"AAAA"},{"type":"message",)"
         R"("content":[{"text":")" +
             q + R"("}]}],"usage":{"input_tokens":1000,"output_tokens":300}})",
         with(used(1000, 300), &TokenCounts::images, 1), "\"input_tokens\":1000"},
        {"Responses, an image and a search, stream", AnswerKind::kSse,
         sse({R"({"type":"response.web_search_call.completed","item_id":"a"})",
              R"({"type":"response.image_generation_call.partial_image","item_id":"b"})",
              R"({"type":"response.image_generation_call.completed","item_id":"b"})",
              R"({"type":"response.output_text.delta","delta":")" + q + R"("})",
              R"({"type":"response.completed","response":{"output":[{"type":"web_search_call"},
                  {"type":"image_generation_call"}],"usage":{"input_tokens":1000,
                  "output_tokens":300}}})"}),
         with(with(used(1000, 300), &TokenCounts::images, 1), &TokenCounts::searches, 1), ""},
        {"OpenRouter, an image in a stream", AnswerKind::kSse,
         sse({R"({"choices":[{"delta":{"content":")" + q +
                  R"(","images":[{"image_url":{"url":"data:image/png;base64,AAAA"}}]}}]})",
              R"({"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":300}})",
              "[DONE]"}),
         with(used(1000, 300), &TokenCounts::images, 1), "\"prompt_tokens\":1000"},
        {"Converse, a cache for an hour", AnswerKind::kJson,
         R"({"output":{"message":{"content":[{"text":")" + q +
             R"("}]}},"usage":{"inputTokens":900,"outputTokens":300,"totalTokens":1300,
             "cacheWriteInputTokens":100,"cacheDetails":[{"ttl":"1h","inputTokens":60},
             {"ttl":"5m","inputTokens":40}]}})",
         with(with(used(1000, 300), &TokenCounts::cache_write, 40), &TokenCounts::cache_write_1h,
              60),
         ""},
        {"Groq, stream", AnswerKind::kSse,
         sse({R"({"choices":[{"delta":{"content":")" + q + R"("}}]})",
              R"({"choices":[{"delta":{},"finish_reason":"stop"}],"x_groq":{"usage":{
                  "prompt_tokens":1000,"completion_tokens":300,"total_tokens":1300,
                  "prompt_tokens_details":{"cached_tokens":40},
                  "completion_tokens_details":{"reasoning_tokens":9}}}})",
              "[DONE]"}),
         with(used(1000, 300, 40), &TokenCounts::reasoning, 9), "\"prompt_tokens\":1000"},
        {"Cohere, stream", AnswerKind::kSse,
         sse({R"({"type":"content-delta","delta":{"message":{"content":{"text":")" + q + R"("}}}})",
              R"({"type":"message-end","delta":{"usage":{"tokens":{"input_tokens":1000,
                  "output_tokens":300},"cached_tokens":40}}})"}),
         used(1000, 300, 40), ""},
        {"Mistral, transcription", AnswerKind::kJson,
         R"({"text":")" + q +
             R"(","usage":{"prompt_audio_seconds":203,"prompt_tokens":1000,
             "completion_tokens":300,"total_tokens":3264}})",
         with(used(1000, 300), &TokenCounts::seconds, 203), "\"prompt_tokens\":1000"},
        {"transcription with its segments", AnswerKind::kJson,
         R"({"task":"transcribe","duration":8.47,"text":")" + q + R"(","segments":[]})",
         with(used(0, 10), &TokenCounts::seconds, 9), ""},
        {"xAI, sources", AnswerKind::kJson,
         R"({"choices":[{"message":{"content":")" + q +
             R"("}}],"usage":{"prompt_tokens":1000,"completion_tokens":300,
             "num_sources_used":4}})",
         with(used(1000, 300), &TokenCounts::searches, 4), "\"prompt_tokens\":1000"},
        {"watsonx", AnswerKind::kJson,
         R"({"model_id":"m","results":[{"generated_text":")" + q +
             R"(","generated_token_count":300,"input_token_count":1000,"stop_reason":"eos"}]})",
         used(1000, 300), "\"input_token_count\":1000"},
    };
}

inline std::vector<ProviderAnswer> provider_answers() {
    std::vector<ProviderAnswer> all;
    for (const auto& some : {openai_answers(), anthropic_answers(), google_answers(),
                             other_answers(), answers_with_parts()}) {
        all.insert(all.end(), some.begin(), some.end());
    }
    return all;
}

}  // namespace ai_limit
