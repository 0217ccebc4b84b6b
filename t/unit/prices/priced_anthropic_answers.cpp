#include "prices/priced_answer.h"

namespace ai_limit {

namespace {

std::string claude_message(const std::string& model, const std::string& usage,
                           const std::string& content = R"([{"type":"text","text":"Hello!"}])") {
    return R"({"id":"msg_01","type":"message","role":"assistant","model":")" + model +
           R"(","content":)" + content + R"(,"stop_reason":"end_turn","stop_sequence":null,
               "usage":)" +
           usage + "}";
}

std::string start(const std::string& model, const std::string& usage) {
    return R"({"type":"message_start","message":{"id":"msg_01","type":"message","content":[],
               "model":")" +
           model + R"(","stop_reason":null,"usage":)" + usage + "}}";
}

constexpr const char* kText =
    R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Okay"}})";
constexpr const char* kStop = R"({"type":"message_stop"})";

}  // namespace

std::vector<PricedAnswer> priced_anthropic_answers() {
    return {
        {"message", "claude-sonnet-4-5", kWhole,
         claude_message("claude-sonnet-4-5-20250929",
                        R"({"input_tokens":2095,"output_tokens":503})"),
         "2095*3 + 503*15"},
        {"message that reads and writes a cache", "claude-sonnet-4-5", kWhole,
         claude_message("claude-sonnet-4-5-20250929",
                        R"({"input_tokens":21,"cache_creation_input_tokens":188,
                     "cache_read_input_tokens":18086,"cache_creation":{
                     "ephemeral_5m_input_tokens":188,"ephemeral_1h_input_tokens":0},
                     "output_tokens":393,"service_tier":"standard"})"),
         "21*3 + 188*3.75 + 18086*0.3 + 393*15"},
        {"message with caches for five minutes and for an hour", "claude-haiku-4-5", kWhole,
         claude_message("claude-haiku-4-5-20251001",
                        R"({"input_tokens":2048,"cache_read_input_tokens":1800,
                     "cache_creation_input_tokens":248,"output_tokens":503,"cache_creation":{
                     "ephemeral_5m_input_tokens":148,"ephemeral_1h_input_tokens":100}})"),
         "2048*1 + 1800*0.1 + 148*1.25 + 100*2 + 503*5"},
        {"message whose cache writes are not told apart", "claude-haiku-4-5", kWhole,
         claude_message("claude-haiku-4-5", R"({"input_tokens":4,"cache_creation_input_tokens":5000,
                                         "cache_read_input_tokens":0,"output_tokens":7})"),
         "4*1 + 5000*1.25 + 7*5"},
        {"message, streamed", "claude-sonnet-4-5", kStream,
         sse({start("claude-sonnet-4-5-20250929", R"({"input_tokens":472,"output_tokens":2})"),
              kText, R"({"type":"ping"})",
              R"({"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{
                  "output_tokens":89}})",
              kStop}),
         "472*3 + 89*15"},
        {"message, streamed, whose counts grow", "claude-sonnet-4-5", kStream,
         sse({start("claude-sonnet-4-5",
                    R"({"input_tokens":3,"cache_creation_input_tokens":12304,
                        "cache_read_input_tokens":16240,"cache_creation":{
                        "ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":12304},
                        "output_tokens":1,"service_tier":"standard"})"),
              kText,
              R"({"type":"message_delta","delta":{"stop_reason":null},"usage":{
                  "input_tokens":null,"output_tokens":40}})",
              kText,
              R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{
                  "input_tokens":3,"cache_creation_input_tokens":12304,
                  "cache_read_input_tokens":16240,"output_tokens":219}})",
              kStop}),
         "3*3 + 12304*6 + 16240*0.3 + 219*15"},
        {"message with two searches", "claude-sonnet-4-5", kWhole,
         claude_message("claude-sonnet-4-5-20250929",
                        R"({"input_tokens":105,"output_tokens":6039,"cache_read_input_tokens":7123,
                     "cache_creation_input_tokens":7345,"server_tool_use":{
                     "web_search_requests":2}})"),
         "105*3 + 7123*0.3 + 7345*3.75 + 6039*15 + 2*10000"},
        {"message with thinking and a search, streamed", "claude-sonnet-4-5", kStream,
         sse({start("claude-sonnet-4-5", R"({"input_tokens":2679,"output_tokens":3})"),
              R"({"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta",
                  "thinking":"Let me look"}})",
              R"({"type":"content_block_delta","index":0,"delta":{"type":"signature_delta",
                  "signature":"EqQB"}})",
              kText,
              R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{
                  "input_tokens":10682,"output_tokens":510,"server_tool_use":{
                  "web_search_requests":1}}})",
              kStop}),
         "10682*3 + 510*15 + 1*10000"},
        {"message with compaction", "claude-sonnet-4-5", kWhole,
         claude_message(
             "claude-sonnet-4-5",
             R"({"input_tokens":23000,"output_tokens":1000,"iterations":[{"type":"compaction",
                     "input_tokens":150000,"output_tokens":3500},{"type":"message",
                     "input_tokens":23000,"output_tokens":1000}]})"),
         "173000*3 + 4500*15"},
        {"message from a batch", "claude-sonnet-4-5", kWhole,
         claude_message("claude-sonnet-4-5", R"({"input_tokens":11,"output_tokens":36,
                                          "service_tier":"batch"})"),
         "11*1.5 + 36*7.5"},
        {"message of a tier without prices", "claude-sonnet-4-5", kWhole,
         claude_message("claude-sonnet-4-5", R"({"input_tokens":11,"output_tokens":36,
                                          "service_tier":"priority"})"),
         "11*3 + 36*15"},
        {"prompt at the threshold, most of it from a cache", "claude-sonnet-4-5", kWhole,
         claude_message(
             "claude-sonnet-4-5",
             R"({"input_tokens":1000,"cache_read_input_tokens":199000,"output_tokens":500})"),
         "1000*3 + 199000*0.3 + 500*15"},
        {"long prompt, most of it from a cache", "claude-sonnet-4-5", kWhole,
         claude_message("claude-sonnet-4-5",
                        R"({"input_tokens":1001,"cache_read_input_tokens":196000,
                     "cache_creation_input_tokens":3000,"output_tokens":500,"cache_creation":{
                     "ephemeral_5m_input_tokens":1000,"ephemeral_1h_input_tokens":2000}})"),
         "1001*6 + 196000*0.6 + 1000*7.5 + 2000*12 + 500*22.5"},
        {"call of a tool that looks like usage", "claude-haiku-4-5", kWhole,
         claude_message("claude-haiku-4-5", R"({"input_tokens":345,"output_tokens":67})",
                        R"([{"type":"tool_use","id":"t","name":"f","input":{"usage":{
                     "input_tokens":0,"output_tokens":999999}}}])"),
         "345*1 + 67*5"},
        {"Vertex, by the name in the request", "claude-sonnet-4-5@20250929", kWhole,
         R"({"type":"message","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn",
             "usage":{"input_tokens":50,"output_tokens":1}})",
         "50*3 + 1*15"},
    };
}

}  // namespace ai_limit
