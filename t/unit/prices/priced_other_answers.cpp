#include "prices/priced_answer.h"

namespace ai_limit {

std::vector<PricedAnswer> priced_bedrock_answers() {
    const char* claude = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
    return {
        {"Converse", "amazon.nova-pro-v1:0", kWhole,
         R"({"metrics":{"latencyMs":1275},"output":{"message":{"content":[{"text":"A song"}],
             "role":"assistant"}},"stopReason":"end_turn","usage":{"cacheReadInputTokenCount":0,
             "inputTokens":125,"outputTokens":60,"totalTokens":185}})",
         "125*0.8 + 60*3.2"},
        {"Converse with caches of both kinds", claude, kWhole,
         R"({"output":{"message":{"content":[{"text":"x"}],"role":"assistant"}},"stopReason":
             "end_turn","usage":{"inputTokens":100,"outputTokens":30,"totalTokens":5330,
             "cacheReadInputTokens":4000,"cacheWriteInputTokens":1200,"cacheDetails":[
             {"ttl":"1h","inputTokens":700},{"ttl":"5m","inputTokens":500}]}})",
         "100*3.3 + 4000*0.33 + 500*4.125 + 700*6.6 + 30*16.5"},
        {"Converse, streamed", "amazon.nova-pro-v1:0", AnswerKind::kEventStream,
         event("messageStart", R"({"role":"assistant"})") +
             event("contentBlockDelta", R"({"contentBlockIndex":0,"delta":{"text":"Hi"}})") +
             event("messageStop", R"({"stopReason":"end_turn"})") +
             event("metadata", R"({"metrics":{"latencyMs":700},"usage":{"inputTokens":600,
                 "outputTokens":31,"totalTokens":1031,"cacheReadInputTokens":400}})"),
         "600*0.8 + 400*0.2 + 31*3.2"},
        {"Llama by its headers",
         "meta.llama3-70b-instruct-v1:0",
         kWhole,
         R"({"generation":"It works","stop_reason":"stop"})",
         "21*2.65 + 7*3.5",
         {{"X-Amzn-Bedrock-Input-Token-Count", "21"}, {"X-Amzn-Bedrock-Output-Token-Count", "7"}}},
        {"Llama by its body", "meta.llama3-70b-instruct-v1:0", kWhole,
         R"({"generation":"It works","prompt_token_count":22,"generation_token_count":8,
             "stop_reason":"stop"})",
         "22*2.65 + 8*3.5"},
        {"Claude invoked, streamed", claude, AnswerKind::kEventStream,
         chunk(R"({"type":"message_start","message":{"usage":{"input_tokens":12,
                   "cache_creation_input_tokens":0,"cache_read_input_tokens":1024,
                   "output_tokens":2}}})") +
             chunk(R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta",
                       "text":"Hi"}})") +
             chunk(R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{
                       "output_tokens":40}})") +
             chunk(R"({"type":"message_stop","amazon-bedrock-invocationMetrics":{
                       "inputTokenCount":12,"outputTokenCount":40,"cacheReadInputTokenCount":1024,
                       "cacheWriteInputTokenCount":0}})"),
         "12*3.3 + 1024*0.33 + 40*16.5"},
        {"Titan", "amazon.titan-text-express-v1", kWhole,
         R"({"inputTextTokenCount":5,"results":[{"tokenCount":32,"outputText":"A limerick",
             "completionReason":"FINISH"},{"tokenCount":10,"outputText":"Another",
             "completionReason":"FINISH"}]})",
         "5*1.3 + 42*1.7"},
        {"images on Bedrock",
         "amazon.nova-canvas-v1:0",
         kWhole,
         R"({"images":["AAAA","BBBB"],"error":null})",
         "2*60000",
         {},
         true},
    };
}

std::vector<PricedAnswer> priced_other_answers() {
    return {
        {"Cohere, which bills less than it reports", "command-a-03-2025", kWhole,
         R"({"id":"c1","finish_reason":"COMPLETE","message":{"role":"assistant","content":[{
             "type":"text","text":"Hello"}]},"usage":{"billed_units":{"input_tokens":5,
             "output_tokens":48},"tokens":{"input_tokens":71,"output_tokens":50}}})",
         "71*2.5 + 50*10"},
        {"Cohere, streamed", "command-a-03-2025", kStream,
         sse({R"({"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"Hi"}}}})",
              R"({"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"billed_units":{
                  "input_tokens":63,"output_tokens":14},"tokens":{"input_tokens":1256,
                  "output_tokens":14}}}})"}),
         "1256*2.5 + 14*10"},
        {"Cohere, version 1, streamed", "command-a-03-2025", AnswerKind::kLines,
         lines({R"({"is_finished":false,"event_type":"text-generation","text":"Hello"})",
                R"({"is_finished":true,"event_type":"stream-end","finish_reason":"COMPLETE",)"
                R"("response":{"meta":{"billed_units":{"input_tokens":3,"output_tokens":20},)"
                R"("tokens":{"input_tokens":69,"output_tokens":20}}}})"}),
         "69*2.5 + 20*10"},
        {"Cohere, embeddings", "embed-v4.0", kWhole,
         R"({"id":"e1","embeddings":{"float":[[0.01,-0.02]]},"texts":["hello"],"meta":{
             "api_version":{"version":"2"},"billed_units":{"input_tokens":13}}})",
         "13*0.12"},
        {"Cohere, reranker",
         "rerank-v3.5",
         kWhole,
         R"({"results":[{"index":3,"relevance_score":0.99},{"index":0,"relevance_score":0.2}],
             "meta":{"billed_units":{"search_units":2}}})",
         "2*2000",
         {},
         true},
        {"Ollama", "llama3.2", kWhole,
         R"({"model":"llama3.2","created_at":"2026-11-01T10:00:00Z","message":{"role":"assistant",
             "content":"Hi"},"done_reason":"stop","done":true,"total_duration":4935886791,
             "prompt_eval_count":26,"prompt_eval_duration":30,"eval_count":282})",
         "26*0.1 + 282*0.4"},
        {"Ollama, streamed, with free cached input", "llama3.2", AnswerKind::kLines,
         lines({R"({"model":"llama3.2","response":"The","done":false})",
                R"({"model":"llama3.2","response":" sky","done":false})",
                R"({"model":"llama3.2","response":"","done":true,"prompt_eval_count":126,)"
                R"("prompt_eval_cached_count":100,"eval_count":290})"}),
         "26*0.1 + 100*0 + 290*0.4"},
        {"DashScope", "qwen-plus", kWhole,
         R"({"output":{"choices":[{"finish_reason":"stop","message":{"role":"assistant",
             "content":"I am"}}]},"usage":{"total_tokens":38,"output_tokens":16,
             "input_tokens":22,"prompt_tokens_details":{"cached_tokens":2}},"request_id":"r"})",
         "20*0.4 + 2*0.04 + 16*1.2"},
        {"DashScope, streamed, long prompt", "qwen-plus", kStream,
         sse({R"({"output":{"choices":[{"message":{"content":"A"},"finish_reason":"null"}]},
                  "usage":{"input_tokens":256001,"output_tokens":1,"total_tokens":256002}})",
              R"({"output":{"choices":[{"message":{"content":"AB"},"finish_reason":"stop"}]},
                  "usage":{"input_tokens":256001,"output_tokens":7,"total_tokens":256008}})"}),
         "256001*1.2 + 7*3.6"},
        {"Workers AI", "@cf/meta/llama-3.3-70b-instruct-fp8-fast", kWhole,
         R"({"result":{"response":"Hello","tool_calls":[],"usage":{"prompt_tokens":30,
             "completion_tokens":20,"total_tokens":50}},"success":true,"errors":[]})",
         "30*0.29 + 20*2.25"},
        {"Workers AI, streamed", "@cf/meta/llama-3.3-70b-instruct-fp8-fast", kStream,
         sse({R"({"response":"He","p":"abdef"})", R"({"response":"y","p":"ab"})",
              R"({"response":"","usage":{"prompt_tokens":31,"completion_tokens":3,
                  "total_tokens":34}})",
              "[DONE]"}),
         "31*0.29 + 3*2.25"},
        {"Yandex, with counts as text", "yandexgpt-lite", kWhole,
         R"({"result":{"alternatives":[{"message":{"role":"assistant","text":"To be"},"status":
             "ALTERNATIVE_STATUS_FINAL"}],"usage":{"inputTextTokens":"67","completionTokens":"50",
             "totalTokens":"117"},"modelVersion":"06.12.2026"}})",
         "67*1.7 + 50*1.7"},
        {"Replicate", "meta/meta-llama-3-8b-instruct", kWhole,
         R"({"id":"p1","model":"meta/meta-llama-3-8b-instruct","output":["I","'m"],"status":
             "succeeded","metrics":{"input_token_count":27,"output_token_count":41,
             "predict_time":0.6}})",
         "27*0.05 + 41*0.25"},
        {"watsonx", "ibm/granite-3-8b-instruct", kWhole,
         R"({"model_id":"ibm/granite-3-8b-instruct","created_at":"2026-11-01","results":[{
             "generated_text":"4,000 km","generated_token_count":14,"input_token_count":28,
             "stop_reason":"eos_token"}]})",
         "28*0.2 + 14*0.2"},
        {"SGLang, streamed", "my-model", kStream,
         sse({R"({"text":"The","meta_info":{"prompt_tokens":11,"completion_tokens":1,
                  "cached_tokens":0}})",
              R"({"text":"The capital","meta_info":{"finish_reason":{"type":"stop"},
                  "prompt_tokens":11,"completion_tokens":2,"cached_tokens":8}})",
              "[DONE]"}),
         "11*0.123457 + 2*0.987655"},
        {"LM Studio", "my-model", kWhole,
         R"({"model_instance_id":"my-model","output":[{"type":"message","content":"Yes"}],"stats":{
             "input_tokens":419,"total_output_tokens":362,"reasoning_output_tokens":195,
             "tokens_per_second":27.6}})",
         "419*0.123457 + 362*0.987655"},
        {"TGI by its headers",
         "my-model",
         kWhole,
         R"({"generated_text":"a piece of text"})",
         "7*0.123457 + 20*0.987655",
         {{"x-prompt-tokens", "7"}, {"x-generated-tokens", "20"}}},
    };
}

}  // namespace ai_limit
