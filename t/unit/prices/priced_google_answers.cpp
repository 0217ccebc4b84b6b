#include "prices/priced_answer.h"

namespace ai_limit {

namespace {

std::string gemini(const std::string& model, const std::string& usage,
                   const std::string& parts = R"([{"text":"Hello"}])",
                   const std::string& more = "\"index\":0") {
    return R"({"candidates":[{"content":{"parts":)" + parts +
           R"(,"role":"model"},"finishReason":"STOP",)" + more + R"(}],"usageMetadata":)" + usage +
           R"(,"modelVersion":")" + model + R"(","responseId":"r1"})";
}

/** A chunk before the last one of a stream. */
std::string early(const std::string& model, const std::string& usage) {
    return R"({"candidates":[{"content":{"parts":[{"text":"He"}],"role":"model"}}],
               "usageMetadata":)" +
           usage + R"(,"modelVersion":")" + model + "\"}";
}

}  // namespace

std::vector<PricedAnswer> priced_google_answers() {
    const std::string pro = "gemini-2.5-pro";
    const std::string flash = "gemini-2.5-flash";
    const std::string grown = R"({"promptTokenCount":258,"candidatesTokenCount":31,
        "totalTokenCount":612,"thoughtsTokenCount":323})";
    const std::string growing = R"({"promptTokenCount":258,"totalTokenCount":420,
        "thoughtsTokenCount":162})";
    return {
        {"Gemini with cached input and thoughts", "gemini-2.5-pro", kWhole,
         gemini(pro, R"({"promptTokenCount":900,"candidatesTokenCount":200,
                         "totalTokenCount":1225,"cachedContentTokenCount":400,
                         "thoughtsTokenCount":125})"),
         "500*1.25 + 400*0.125 + 325*10"},
        {"Gemini with a price of its own for thoughts", "gemini-2.5-flash", kWhole,
         gemini(flash, R"({"promptTokenCount":10,"candidatesTokenCount":20,
                           "totalTokenCount":130,"thoughtsTokenCount":100})"),
         "10*0.3 + 20*2.5 + 100*3.5"},
        {"Gemini, events", "gemini-2.5-flash", kStream,
         sse({early(flash, growing), early(flash, growing), gemini(flash, grown)}),
         "258*0.3 + 31*2.5 + 323*3.5"},
        {"Gemini, array", "gemini-2.5-flash", kWhole,
         "[" + early(flash, growing) + "\n,\n" + gemini(flash, grown) + "]",
         "258*0.3 + 31*2.5 + 323*3.5"},
        {"Gemini with the input of tools", "gemini-2.5-pro", kWhole,
         gemini(pro, R"({"promptTokenCount":21,"candidatesTokenCount":300,
                         "totalTokenCount":10021,"toolUsePromptTokenCount":9700})"),
         "9721*1.25 + 300*10"},
        {"Gemini with sound in the prompt", "gemini-2.5-flash", kWhole,
         gemini(flash, R"({"promptTokenCount":2000,"candidatesTokenCount":25,
                           "totalTokenCount":2025,"promptTokensDetails":[{"modality":"TEXT",
                           "tokenCount":80},{"modality":"AUDIO","tokenCount":1920}]})"),
         "80*0.3 + 1920*1 + 25*2.5"},
        {"Gemini with sound both ways", "gemini-2.5-flash-native-audio", kWhole,
         gemini("gemini-2.5-flash-native-audio",
                R"({"promptTokenCount":60,"candidatesTokenCount":150,"totalTokenCount":210,
                    "promptTokensDetails":[{"modality":"AUDIO","tokenCount":50}],
                    "candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":140}]})"),
         "10*0.5 + 50*3 + 10*2 + 140*12"},
        {"Gemini with an image", "gemini-2.5-flash-image", kWhole,
         gemini("gemini-2.5-flash-image",
                R"({"promptTokenCount":7,"candidatesTokenCount":1290,"totalTokenCount":1297,
                    "candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":1290}]})",
                R"([{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo"}}])"),
         "7*0.3 + 1290*2.5 + 1*39000"},
        {"Gemini with two searches", "gemini-2.5-flash", kWhole,
         gemini(flash, R"({"promptTokenCount":12,"candidatesTokenCount":80,
                           "totalTokenCount":92})",
                R"([{"text":"It is sunny."}])",
                R"("groundingMetadata":{"webSearchQueries":["weather","sun"]})"),
         "12*0.3 + 80*2.5 + 2*35000"},
        {"Gemini, prompt at the threshold", "gemini-2.5-pro", kWhole,
         gemini(pro, R"({"promptTokenCount":200000,"candidatesTokenCount":1,
                         "totalTokenCount":200001})"),
         "200000*1.25 + 1*10"},
        {"Gemini, long prompt, events", "gemini-2.5-pro", kStream,
         sse({early(pro, R"({"promptTokenCount":250000,"totalTokenCount":250000,
                             "cachedContentTokenCount":150000})"),
              gemini(pro, R"({"promptTokenCount":250000,"candidatesTokenCount":64,
                              "totalTokenCount":250100,"cachedContentTokenCount":150000,
                              "thoughtsTokenCount":36})")}),
         "100000*2.5 + 150000*0.25 + 100*15"},
        {"Interactions", "gemini-2.5-pro", kWhole,
         R"({"id":"i1","model":"gemini-2.5-pro","outputs":[{"type":"text","text":"x"}],
             "status":"completed","usage":{"total_input_tokens":700,"total_cached_tokens":512,
             "total_output_tokens":20,"total_thought_tokens":310,"total_tool_use_tokens":0,
             "total_tokens":1030}})",
         "188*1.25 + 512*0.125 + 330*10"},
        {"Interactions, streamed, with searches", "gemini-2.5-flash", kStream,
         sse({R"({"event_type":"interaction.created","interaction":{"model":"gemini-2.5-flash"}})",
              R"({"event_type":"step.delta","delta":{"type":"text","text":"x"}})",
              R"({"event_type":"interaction.completed","interaction":{"model":"gemini-2.5-flash",
                  "usage":{"total_input_tokens":40,"total_output_tokens":9,
                  "total_thought_tokens":11,"total_tool_use_tokens":60,"total_tokens":120,
                  "grounding_tool_count":[{"type":"google_search","count":3}]}}})",
              "[DONE]"}),
         "100*0.3 + 9*2.5 + 11*3.5 + 3*35000"},
        {"Imagen",
         "imagen-4.0-generate-001",
         kWhole,
         R"({"predictions":[{"mimeType":"image/png","bytesBase64Encoded":"AAAA"},{"mimeType":
             "image/png","bytesBase64Encoded":"BBBB"},{"mimeType":"image/png",
             "bytesBase64Encoded":"CCCC"}]})",
         "3*40000",
         {},
         true},
        {"Vertex predict", "text-bison", kWhole,
         R"({"predictions":[{"content":"Paris","citationMetadata":{"citations":[]}}],"metadata":{
             "tokenMetadata":{"inputTokenCount":{"totalTokens":9,"totalBillableCharacters":30},
             "outputTokenCount":{"totalTokens":17,"totalBillableCharacters":70}}}})",
         "9*0.25 + 17*0.5"},
        {"Vertex embeddings", "text-embedding-005", kWhole,
         R"({"predictions":[{"embeddings":{"values":[0.1,-0.2],"statistics":{"truncated":false,
             "token_count":600}}},{"embeddings":{"values":[0.3],"statistics":{"truncated":false,
             "token_count":401}}}],"metadata":{"billableCharacterCount":4000}})",
         "1001*0.025"},
    };
}

}  // namespace ai_limit
