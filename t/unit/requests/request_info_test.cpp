#include "core/requests/request_info.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "random.h"
#include "request_fields.h"

namespace ai_limit {
namespace {

Amount most_output(std::string_view body) {
    return reported(kChat, body).most_output;
}

Amount prompt(std::string_view body) {
    const RequestFields result = reported("/any", body);
    EXPECT_FALSE(result.unreadable) << body;
    return result.prompt;
}

TEST(RequestInfo, ReadsAChat) {
    const RequestFields result = reported(kChat, R"({"model":"gpt-4o","messages":[{"role":"system",
        "content":"Be brief."},{"role":"user","content":"What is the capital of France?"}],
        "max_completion_tokens":100,"stream":true,"stream_options":{"include_usage":true}})");
    EXPECT_EQ(result.model, "gpt-4o");
    EXPECT_TRUE(result.streams);
    EXPECT_TRUE(result.includes_usage);
    EXPECT_FALSE(result.unreadable);
    EXPECT_EQ(result.most_output, 100U);
    EXPECT_EQ(result.prompt, (9U + 30) / 4 + 2 + 2);
    EXPECT_FALSE(result.edits);
}

TEST(RequestInfo, PrefersTheModelOfThePath) {
    const std::string_view body = R"({"model":"cheap"})";
    EXPECT_EQ(reported(kChat, body).model, "cheap");
    EXPECT_EQ(reported("/v1beta/models/gemini:generateContent", body).model, "gemini");
    EXPECT_EQ(reported("/openai/deployments/dear/chat/completions", body).model, "dear");
    EXPECT_EQ(reported("/model/nova/converse", body).model, "nova");
    EXPECT_EQ(reported("/openai/v1/chat/completions", body).model, "cheap");
}

TEST(RequestInfo, IgnoresNestedModels) {
    EXPECT_EQ(reported(kChat, R"({"metadata":{"model":"a"},"mo\u0064el":"b\/\u0063"})").model,
              "b/c");
    EXPECT_EQ(reported(kChat, R"([{"model":"a"}])").model, "");
    EXPECT_EQ(reported(kChat, R"({"model":null})").model, "");
    EXPECT_EQ(reported(kChat, R"({"model":"a","model":"b"})").model, "b");
}

TEST(RequestInfo, ReadsTheLimitOfEveryApi) {
    EXPECT_EQ(most_output(R"({"max_tokens":7})"), 7U);
    EXPECT_EQ(most_output(R"({"max_completion_tokens":7})"), 7U);
    EXPECT_EQ(most_output(R"({"max_output_tokens":7})"), 7U);
    EXPECT_EQ(most_output(R"({"generationConfig":{"maxOutputTokens":7}})"), 7U);
    EXPECT_EQ(most_output(R"({"generation_config":{"max_output_tokens":7}})"), 7U);
    EXPECT_EQ(most_output(R"({"inferenceConfig":{"maxTokens":7}})"), 7U);
    EXPECT_EQ(most_output(R"({"textGenerationConfig":{"maxTokenCount":7}})"), 7U);
    EXPECT_EQ(most_output(R"({"max_gen_len":7})"), 7U);
    EXPECT_EQ(most_output(R"({"max_tokens_to_sample":7})"), 7U);
    EXPECT_EQ(most_output(R"({"options":{"num_predict":7}})"), 7U);
    EXPECT_EQ(most_output(R"({"n_predict":7})"), 7U);
    EXPECT_EQ(most_output(R"({"parameters":{"max_new_tokens":7}})"), 7U);
    EXPECT_EQ(most_output(R"({"parameters":{"max_tokens":7}})"), 7U);
    EXPECT_EQ(most_output(R"({"parameters":{"maxOutputTokens":7}})"), 7U);
    EXPECT_EQ(most_output(R"({"instances":[{"max_tokens":7}]})"), 7U);
    EXPECT_EQ(most_output(R"({"sampling_params":{"max_new_tokens":7}})"), 7U);
    EXPECT_EQ(most_output(R"({"sampling_params":[{"max_new_tokens":7}]})"), 7U);
    EXPECT_EQ(most_output(R"({"completion_args":{"max_tokens":7}})"), 7U);
    for (const char* name :
         {"max_tokens", "max_new_tokens", "max_completion_tokens", "max_output_tokens"}) {
        EXPECT_EQ(most_output(std::string(R"({"input":{")") + name + R"(":7}})"), 7U) << name;
    }
    EXPECT_EQ(most_output(R"({"tools":[{"max_tokens":7}],"x":{"max_tokens":8}})"), kUnknown);
    EXPECT_EQ(most_output(R"({"max_tokens":null})"), kUnknown);
    EXPECT_EQ(most_output(R"({"max_tokens":[7]})"), kUnknown);
    EXPECT_EQ(most_output(R"({"max_tokens":0})"), 0U);
}

TEST(RequestInfo, TakesTheLargerOfTwoLimits) {
    EXPECT_EQ(most_output(R"({"max_tokens":1,"max_completion_tokens":5000})"), 5000U);
    EXPECT_EQ(most_output(R"({"max_completion_tokens":5000,"max_tokens":1})"), 5000U);
    EXPECT_EQ(most_output(R"({"max_tokens":3,"max_tokens":2})"), 3U);
}

TEST(RequestInfo, TakesNullBehindALimitOfTheSameKeyForNoLimit) {
    EXPECT_EQ(most_output(R"({"max_tokens":5,"max_tokens":null})"), kUnknown);
    EXPECT_EQ(most_output(R"({"max_tokens":5,"x":[],"max_tokens":null,"y":1})"), kUnknown);
    EXPECT_EQ(most_output(R"({"max_tokens":"5","max_tokens":null})"), kUnknown);
    EXPECT_EQ(most_output(R"({"max_tokens":5,"Max_Tokens":null})"), kUnknown);
    EXPECT_EQ(most_output(R"({"options":{"num_predict":5,"num_predict":null}})"), kUnknown);
    EXPECT_EQ(most_output(R"({"options":{"num_predict":5},"options":{"num_predict":null}})"),
              kUnknown);
    EXPECT_EQ(most_output(R"({"max_tokens":null,"max_tokens":5})"), 5U);
    EXPECT_EQ(most_output(R"({"max_tokens":9,"max_tokens":null,"max_tokens":5})"), 9U);
}

TEST(RequestInfo, KeepsALimitBesideNullOfAnotherKey) {
    EXPECT_EQ(most_output(R"({"max_tokens":5,"max_completion_tokens":null})"), 5U);
    EXPECT_EQ(most_output(R"({"max_completion_tokens":5,"max_tokens":null})"), 5U);
    EXPECT_EQ(most_output(R"({"max_tokens":5,"max_tokens":null,"max_completion_tokens":7})"), 7U);
    EXPECT_EQ(most_output(R"({"max_tokens":5,"options":{"num_predict":null}})"), 5U);
}

TEST(RequestInfo, CountsALimitForEachAnswer) {
    EXPECT_EQ(most_output(R"({"max_tokens":100,"n":3})"), 300U);
    EXPECT_EQ(most_output(R"({"n":2,"best_of":5,"max_tokens":100})"), 500U);
    EXPECT_EQ(most_output(R"({"generationConfig":{"candidateCount":4,"maxOutputTokens":10}})"),
              40U);
    EXPECT_EQ(most_output(R"({"parameters":{"n":2,"max_tokens":7}})"), 14U);
    EXPECT_EQ(most_output(R"({"sampling_params":{"n":2,"max_new_tokens":7}})"), 14U);
    EXPECT_EQ(most_output(R"({"max_tokens":100,"n":null})"), 100U);
    EXPECT_EQ(most_output(R"({"max_tokens":100,"n":0})"), 100U);
    EXPECT_EQ(most_output(R"({"max_tokens":100,"n":-2})"), 100U);
    EXPECT_EQ(most_output(R"({"n":3})"), kUnknown);
}

TEST(RequestInfo, IgnoresAnInfiniteLimit) {
    EXPECT_EQ(most_output(R"({"n_predict":-1})"), kUnknown);
    EXPECT_EQ(most_output(R"({"options":{"num_predict":-2}})"), kUnknown);
    EXPECT_EQ(most_output(R"({"n_predict":-1,"max_tokens":10})"), kUnknown);
    EXPECT_EQ(most_output(R"({"max_tokens":10,"n_predict":-1})"), kUnknown);
}

TEST(RequestInfo, CapsHugeNumbers) {
    EXPECT_EQ(most_output(R"({"max_tokens":1e2})"), 100U);
    EXPECT_EQ(most_output(R"({"max_tokens":1000000000000})"), kMaxAmount);
    EXPECT_EQ(most_output(R"({"max_tokens":1000000000001})"), kMaxAmount);
    EXPECT_EQ(most_output(R"({"max_tokens":18446744073709551617})"), kMaxAmount);
    EXPECT_EQ(most_output(R"({"max_tokens":1e999})"), kMaxAmount);
    EXPECT_EQ(most_output("{\"max_tokens\":1" + std::string(500, '0') + "}"), kMaxAmount);
    EXPECT_EQ(most_output(R"({"max_tokens":1000000,"n":1000000})"), kMaxAmount);
    EXPECT_EQ(most_output(R"({"max_tokens":1000000,"n":1000001})"), kMaxAmount);
    EXPECT_EQ(most_output(R"({"max_tokens":1e12,"n":1e12})"), kMaxAmount);
    EXPECT_EQ(most_output(R"({"max_tokens":999999,"n":1000000})"), 999'999'000'000U);
}

TEST(RequestInfo, FindsStreamingInBodyOrPath) {
    EXPECT_TRUE(reported(kChat, R"({"stream":true})").streams);
    EXPECT_FALSE(reported(kChat, R"({"stream":false})").streams);
    EXPECT_FALSE(reported(kChat, R"({"stream":null})").streams);
    EXPECT_FALSE(reported(kChat, R"({"stream":true,"stream":false})").streams);
    EXPECT_FALSE(reported(kChat, R"({"x":{"stream":true}})").streams);
    EXPECT_FALSE(reported(kChat, "").streams);
    EXPECT_TRUE(reported("/v1beta/models/g:streamGenerateContent", "{}").streams);
    EXPECT_TRUE(reported("/model/m/converse-stream", "{}").streams);
    EXPECT_FALSE(reported("/model/m/converse", "{}").streams);
    EXPECT_TRUE(reported("/api/chat", "{}").streams);
    EXPECT_TRUE(reported("/generate_stream", "{}").streams);
    EXPECT_TRUE(reported("/generate", R"({"stream":true})").streams);
    EXPECT_FALSE(reported("/generate", "{}").streams);
    EXPECT_TRUE(reported("/v1beta/interactions", R"({"stream":true})").streams);
    EXPECT_TRUE(reported("/api/generate", R"({"stream":true})").streams);
    EXPECT_FALSE(reported("/api/chat", R"({"stream":false})").streams);
}

TEST(RequestInfo, EstimatesAQuarterOfTheCharactersAndTheMessages) {
    EXPECT_EQ(prompt(R"({"messages":[{"role":"user","content":"12345678"}]})"), 2U + 1 + 2);
    EXPECT_EQ(prompt(R"({"messages":[{"content":"1234"},{"content":"56"},{"content":"7"}]})"),
              1U + 3 + 2);
    EXPECT_EQ(prompt(R"({"messages":[]})"), 0U);
    EXPECT_EQ(prompt(R"({"input":"123456789012"})"), 3U);
    EXPECT_EQ(prompt(R"({"input":"123"})"), 0U);
    EXPECT_EQ(prompt(R"({"input":["123","456789"]})"), 2U);
    EXPECT_EQ(prompt(""), 0U);
    EXPECT_EQ(prompt(R"({"input":"\u6f22\u5b57\ud83d\ude00\n漢字漢字"})"), 2U);
}

TEST(RequestInfo, FindsTheTextOfEveryApi) {
    // each has 40 characters, and as many messages as the number behind it
    const struct {
        std::string_view body;
        Amount messages;
    } cases[] = {
        {R"({"messages":[{"role":"user","content":[{"type":"text","text":"#"}]}]})", 1},
        {R"({"messages":[{"content":[{"type":"tool_result","content":"#"}]}]})", 1},
        {R"({"messages":[{"content":[{"type":"tool_result","content":[{"text":"#"}]}]}]})", 1},
        {R"({"messages":[{"tool_calls":[{"function":{"arguments":"#"}}]}]})", 1},
        {R"({"messages":[{"parts":[{"text":"#"}]}]})", 1},
        {R"({"messages":[{"content":[{"text":"#"}]}],"inferenceConfig":{}})", 1},
        {R"({"system":"#"})", 0},
        {R"({"prompt":"","system":[{"type":"text","text":"#"}]})", 0},
        {R"({"prompt":"#"})", 0},
        {R"({"prompt":["#"]})", 0},
        {R"({"input":"#"})", 0},
        {R"({"input":[{"role":"user","content":"#"}]})", 1},
        {R"({"input":[{"content":[{"type":"input_text","text":"#"}]}]})", 1},
        {R"({"input":[{"type":"function_call_output","output":"#"}]})", 1},
        {R"({"instructions":"#"})", 0},
        {R"({"contents":[{"role":"user","parts":[{"text":"#"}]}]})", 1},
        {R"({"contents":{"role":"user","parts":{"text":"#"}}})", 1},
        {R"({"systemInstruction":{"parts":[{"text":"#"}]}})", 0},
        {R"({"system_instruction":{"parts":{"text":"#"}}})", 0},
        {R"({"content":{"parts":[{"text":"#"}]}})", 0},
        {R"({"requests":[{"content":{"parts":[{"text":"#"}]}}]})", 0},
        {R"({"inputText":"#"})", 0},
        {R"({"inputs":"#"})", 0},
        {R"({"message":"#"})", 0},
        {R"({"texts":["#"]})", 0},
        {R"({"input":{"messages":[{"role":"user","content":"#"}]}})", 1},
        {R"({"input":{"messages":[{"content":[{"text":"#"}]}]}})", 1},
        {R"({"input":{"prompt":"#"}})", 0},
        {R"({"input":{"system_prompt":"#"}})", 0},
        {R"({"input":{"texts":["#"]}})", 0},
        {R"({"input":{"contents":[{"text":"#"}]}})", 0},
        {R"({"input":{"query":"#"}})", 0},
        {R"({"input":{"documents":["#"]}})", 0},
        {R"({"input":{"query":{"text":"#"}}})", 0},
        {R"({"input":{"type":"text","text":"#"}})", 0},
        {R"({"input":[{"type":"text","text":"#"}]})", 1},
        {R"({"input":[{"role":"user","content":[{"type":"text","text":"#"}]}]})", 1},
        {R"({"input":[{"type":"function_result","result":"#"}]})", 1},
        {R"({"input":[{"type":"message","content":"#"}]})", 1},
        {R"({"system_instruction":"#"})", 0},
        {R"({"system_prompt":"#"})", 0},
        {R"({"instances":[{"prompt":"#"}]})", 0},
        {R"({"instances":[{"content":"#"}]})", 0},
        {R"({"instances":[{"context":"#"}]})", 0},
        {R"({"instances":[{"messages":[{"content":"#"}]}]})", 1},
        {R"({"instances":[{"messages":[{"content":[{"text":"#"}]}]}]})", 1},
        {R"({"inputs":[{"role":"user","content":"#"}]})", 1},
        {R"({"inputs":[{"content":[{"type":"text","text":"#"}]}]})", 1},
        {R"({"inputs":["#"]})", 0},
        {R"({"chat_history":[{"role":"USER","message":"#"}]})", 0},
        {R"({"documents":[{"data":{"text":"#"}}]})", 0},
        {R"({"documents":[{"data":{"snippet":"#"}}]})", 0},
        {R"({"documents":[{"snippet":"#"}]})", 0},
        {R"({"text":"#"})", 0},
        {R"({"text":["#"]})", 0},
        {R"({"texts":"#"})", 0},
        {R"({"text_input":"#"})", 0},
        {R"({"input_text":"#"})", 0},
        {R"({"input_prefix":"#"})", 0},
        {R"({"input_suffix":"#"})", 0},
        {R"({"content":"#"})", 0},
        {R"({"query":"#","documents":[]})", 0},
        {R"({"query":"","documents":["#"]})", 0},
        {R"({"documents":[{"text":"#"}]})", 0},
        {R"({"query":{"text":"#"},"passages":[]})", 0},
        {R"({"passages":[{"text":"#"}]})", 0},
        {R"({"contexts":[{"text":"#"}]})", 0},
        {R"({"records":[{"id":"1","content":"#"}]})", 0},
        {R"({"text_1":"#"})", 0},
        {R"({"text_2":["#"]})", 0},
    };
    for (const auto& one : cases) {
        std::string body(one.body);
        body.replace(body.find('#'), 1, std::string(40, 'x'));
        EXPECT_EQ(prompt(body), 10 + (one.messages > 0 ? one.messages + 2 : 0)) << body;
    }
}

TEST(RequestInfo, CountsTokensGivenInPlaceOfText) {
    EXPECT_EQ(prompt(R"({"prompt":[1,2,3,40000]})"), 4U);
    EXPECT_EQ(prompt(R"({"input":[[1,2],[3]]})"), 3U);
    EXPECT_EQ(prompt(R"({"input_ids":[1,2,3]})"), 3U);
    EXPECT_EQ(prompt(R"({"input_ids":[[1,2],[3]]})"), 3U);
}

TEST(RequestInfo, CountsNoImagesAndOtherFieldsAsText) {
    const std::string data = "data:image/png;base64," + std::string(10'000, 'A');
    EXPECT_EQ(prompt(R"({"messages":[{"content":[{"type":"image_url","image_url":{"url":")" + data +
                     R"("}},{"type":"text","text":"1234"}]}]})"),
              1U + 1 + 2);
    EXPECT_EQ(prompt(R"({"messages":[{"content":[{"source":{"data":")" + data + R"("}}]}]})"), 3U);
    EXPECT_EQ(prompt(R"({"input":"1234","user":"xxxxxxxxxxxxxxx","metadata":{"content":"xxxxx"}})"),
              1U);
}

TEST(RequestInfo, EstimatesAPromptInAnUnknownPlaceFromAllStrings) {
    EXPECT_EQ(
        prompt(R"({"user":"12345678","x":[{"y":["1234",5,"1"]}],"z":"\u00e9\ud83d\ude00\n"})"), 4U);
    EXPECT_EQ(prompt(R"({"model":"123456789012","question":"1234"})"), 1U);
    EXPECT_EQ(prompt(R"(["12345678"])"), 2U);
    EXPECT_EQ(prompt(R"("12345678")"), 2U);
    EXPECT_EQ(prompt(std::string(600, '[') + "\"12345678\"" + std::string(600, ']')), 2U);
    EXPECT_EQ(prompt(R"({"messages":[],"max_tokens":"12345678","question":"1234"})"), 1U);
    // A field beside a prompt is no prompt, and counts with the rest.
    EXPECT_EQ(prompt(R"({"system":"12345678","question":"1234"})"), 3U);
    EXPECT_EQ(prompt(R"({"system":"12345678","prompt":"1234","question":"1234"})"), 3U);
    EXPECT_EQ(prompt(R"({"question":"12345678","prompt":""})"), 0U);
}

TEST(RequestInfo, MatchesKeysInAnyCase) {
    const RequestFields result =
        reported(kChat, R"({"MODEL":"a","Messages":[{"Content":"12345678"}],
        "STREAM":true,"Max_Tokens":7,"Stream_Options":{"Include_Usage":false}})");
    EXPECT_EQ(result.model, "a");
    EXPECT_TRUE(result.streams);
    EXPECT_EQ(result.most_output, 7U);
    EXPECT_EQ(result.prompt, 2U + 1 + 2);
    EXPECT_FALSE(result.unreadable);
    // Other cases of s and k, which Go knows as well.
    EXPECT_TRUE(reported(kChat, "{\"\xC5\xBFtream\":true}").streams);
    EXPECT_TRUE(reported(kChat, R"({"\u017Ftream":true})").streams);
    EXPECT_EQ(most_output("{\"max_to\xE2\x84\xAA"
                          "ens\":7}"),
              7U);
    EXPECT_EQ(most_output(R"({"max_to\u212Aens":7})"), 7U);
    EXPECT_EQ(reported(kChat,
                       "{\"m\xC3\xB6"
                       "del\":\"a\"}")
                  .model,
              "");
}

TEST(RequestInfo, RefusesSpellingsThatDisagree) {
    const auto unreadable = [](std::string_view body) { return reported(kChat, body).unreadable; };
    EXPECT_TRUE(unreadable(R"({"model":"a","MODEL":"b"})"));
    EXPECT_TRUE(unreadable(R"({"Model":"a","MODEL":"b"})"));
    EXPECT_TRUE(unreadable(R"({"model":"a","Model":"A"})"));
    EXPECT_TRUE(unreadable(R"({"model":"a","MODEL":null})"));
    EXPECT_TRUE(unreadable(R"({"model":1,"MODEL":2})"));
    EXPECT_TRUE(unreadable(R"({"model":"a","model":"b","MODEL":"a"})"));
    EXPECT_FALSE(unreadable(R"({"model":"a","model":"b","MODEL":"b"})"));
    EXPECT_FALSE(unreadable(R"({"model":null,"MODEL":null})"));
    EXPECT_TRUE(unreadable(R"({"stream":true,"Stream":false})"));
    EXPECT_TRUE(unreadable(R"({"stream_options":{},"STREAM_OPTIONS":{}})"));
    EXPECT_TRUE(unreadable(R"({"stream_options":{"include_usage":true,"INCLUDE_USAGE":false}})"));
    EXPECT_TRUE(unreadable(R"({"service_tier":"flex","Service_Tier":"priority"})"));
    EXPECT_FALSE(unreadable(R"({"model":"a","MODEL":"a"})"));
    EXPECT_FALSE(unreadable(R"({"model":"a","model":"b"})"));
    EXPECT_FALSE(unreadable(R"({"stream":true,"Stream":1})"));
    EXPECT_FALSE(unreadable(R"({"user":"a","USER":"b","x":{"model":"a","MODEL":"b"}})"));
    EXPECT_TRUE(unreadable(R"({"max_tokens":1,"MAX_TOKENS":500})"));
    EXPECT_TRUE(unreadable(R"({"Max_Tokens":500,"max_tokens":"1"})"));
    EXPECT_TRUE(unreadable(R"({"generationConfig":{"maxOutputTokens":5,"MaxOutputTokens":6}})"));
    EXPECT_TRUE(unreadable(R"({"n":1,"N":5})"));
    EXPECT_FALSE(unreadable(R"({"max_tokens":500,"MAX_TOKENS":"500"})"));
    EXPECT_FALSE(unreadable(R"({"max_tokens":1,"max_completion_tokens":500})"));
    EXPECT_FALSE(unreadable(R"({"MAX_TOKENS":1,"N":5})"));
    EXPECT_EQ(prompt(R"({"input":"1234","INPUT":"12345678"})"), 3U);
}

TEST(RequestInfo, RefusesDifferentTextsWithTheSameHash) {
    // FNV-1a gave both the same hash when it began with the kind of a string.
    const std::string one = R"(":";yn0iYCKYHlIj4-BwPqk")";
    const std::string other = R"(":"DReLUrM4wMqfg9yzV3KQ")";
    for (const auto& [key, capitals] :
         {std::pair("model", "MODEL"), std::pair("service_tier", "Service_Tier")}) {
        const std::string begin = std::string("{\"") + key + one + ",\"" + capitals;
        EXPECT_TRUE(reported(kChat, begin + other + "}").unreadable) << key;
        EXPECT_FALSE(reported(kChat, begin + one + "}").unreadable) << key;
    }
}

TEST(RequestInfo, ReadsValuesAsPydanticDoes) {
    for (const std::string_view value : {"1", "1.0", "\"true\"", "\"TRUE\"", "\"t\"", "\"Yes\"",
                                         "\"y\"", "\"on\"", "\"1\"", "\"\\u0074rue\""}) {
        EXPECT_TRUE(reported(kChat, "{\"stream\":" + std::string(value) + "}").streams) << value;
    }
    for (const std::string_view value : {"0", "2", "0.5", "-1", "10", "\"\"", "\"no\"", "\"truer\"",
                                         "\"11\"", "[true]", "{\"a\":true}", "null"}) {
        EXPECT_FALSE(reported(kChat, "{\"stream\":" + std::string(value) + "}").streams) << value;
    }
    EXPECT_FALSE(reported("/api/chat", R"({"stream":"off"})").streams);
    for (const std::string_view value : {"500", " 500\\n", "+500", "500.0", "0500", "500."}) {
        EXPECT_EQ(most_output("{\"max_tokens\":\"" + std::string(value) + "\"}"), 500U) << value;
    }
    for (const std::string_view value : {"", "-", "+", "x", "500x", "5 00", "5.5", "1e3", "0x10"}) {
        EXPECT_EQ(most_output("{\"max_tokens\":\"" + std::string(value) + "\"}"), kUnknown)
            << value;
    }
    EXPECT_EQ(most_output(R"({"max_tokens":"5_00"})"), kMaxAmount);
    EXPECT_EQ(most_output(R"({"n_predict":"-1"})"), kUnknown);
    EXPECT_EQ(most_output(R"({"max_tokens":"100","n":"3"})"), 300U);
}

TEST(RequestInfo, ReadsNumbersThatPythonWrites) {
    EXPECT_EQ(prompt(R"({"temperature":NaN,"a":[Infinity,-Infinity],"input":"1234"})"), 1U);
    EXPECT_EQ(most_output(R"({"max_tokens":Infinity})"), kMaxAmount);
    for (const std::string_view value : {"nan", "Nan", "NaNs", "Inf", "+Infinity", "-NaN", "--1"}) {
        EXPECT_TRUE(reported(kChat, "{\"a\":" + std::string(value) + "}").unreadable) << value;
    }
}

TEST(RequestInfo, ReadsTheServiceTier) {
    const auto tier = [](std::string_view body) {
        RequestInfo info;
        info.feed(body);
        return std::string(info.service_tier());
    };
    EXPECT_EQ(tier(R"({"service_tier":"fl\u0065x"})"), "flex");
    EXPECT_EQ(tier(R"({"serviceTier":{"type":"priority"}})"), "priority");
    EXPECT_EQ(tier(R"({"service_tier":null})"), "");
    EXPECT_EQ(tier(R"({"service_tier":")" + std::string(33, 'x') + R"("})"), "");
}

TEST(RequestInfo, RefusesRepeatedKeysOfAFormThatDisagree) {
    const auto unreadable = [](std::string_view body) {
        RequestInfo info;
        info.set_form();
        info.feed(body);
        info.finish(body.size());
        return info.unreadable();
    };
    EXPECT_FALSE(unreadable(R"({"model":"a","model":"a","x":"1","x":"2"})"));
    EXPECT_TRUE(unreadable(R"({"model":"a","model":"b"})"));
    EXPECT_TRUE(unreadable(R"({"stream":"true","stream":"false"})"));
    EXPECT_FALSE(reported(kChat, R"({"model":"a","model":"b"})").unreadable)
        << "in JSON the last counts";
}

TEST(RequestInfo, CountsWhatPrecedesAMistake) {
    const RequestFields result =
        reported(kChat, R"({"model":"m","max_tokens":5,"messages":[{"content":"12345678"
        }],"stream":true,x "n":9})");
    EXPECT_TRUE(result.unreadable);
    EXPECT_EQ(result.model, "m");
    EXPECT_EQ(result.most_output, 5U);
    EXPECT_TRUE(result.streams);
    EXPECT_FALSE(result.edits);
}

TEST(RequestInfo, EstimatesAnUnreadableBodyByItsBytes) {
    EXPECT_EQ(reported(kChat, "plain text of 24 bytes .").prompt, 6U);
    EXPECT_EQ(reported(kChat, R"({"model":"a","MODEL":"bc"})").prompt, 6U);
    RequestInfo info;
    info.feed("1234");
    info.fail();
    info.finish(400);
    EXPECT_TRUE(info.unreadable());
    EXPECT_EQ(info.prompt_estimate(), 100U);
}

TEST(RequestInfo, RefusesABodyThatIsCutOff) {
    const std::string body = R"({"model":"m","messages":[],"stream":true})";
    for (size_t size = 1; size < body.size(); ++size) {
        const RequestFields result = reported(kChat, body.substr(0, size));
        EXPECT_TRUE(result.unreadable) << size;
        EXPECT_FALSE(result.edits) << size;
        EXPECT_EQ(result.model, size < 12 ? "" : "m");
    }
    EXPECT_FALSE(reported(kChat, "").unreadable);
    EXPECT_FALSE(reported(kChat, " \r\n").unreadable);
    EXPECT_FALSE(reported(kChat, body + " \n").unreadable);
    EXPECT_TRUE(reported(kChat, body + "x").unreadable);
    EXPECT_TRUE(reported(kChat, "--boundary\r\nContent-Disposition: form-data").unreadable);
}

TEST(RequestInfo, TreatsABodyWithoutAnEndAsUnfinished) {
    RequestInfo info;
    info.feed(R"({"model":"m",)");
    EXPECT_FALSE(info.unreadable());
    EXPECT_EQ(info.model(), "m");
    info.finish(13);
    EXPECT_TRUE(info.unreadable());
}

TEST(RequestInfo, ReadsALongBodyTheSameInAnyPieces) {
    Random random(6);
    std::string body = R"({"model":"m","stream":true,"messages":[)";
    for (int i = 0; i < 200; ++i) {
        body += i > 0 ? "," : "";
        body += R"({"role":"user","content":")" + std::string(random.below(500), 'x') +
                R"(\n\u00e9\ud83d\ude00"})";
    }
    body += R"(],"max_tokens":12345})";
    const RequestFields whole = reported(kChat, body, body.size());
    EXPECT_TRUE(whole.edits);
    for (const size_t most : {size_t{1}, size_t{7}, size_t{100}, size_t{4096}}) {
        EXPECT_EQ(reported(kChat, body, most), whole);
    }
}

}  // namespace
}  // namespace ai_limit
