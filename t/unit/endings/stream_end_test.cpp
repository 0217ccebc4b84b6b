#include "core/endings/stream_end.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "../usage/provider_answers.h"
#include "cut_streams.h"

namespace ai_limit {
namespace {

namespace json = boost::json;

struct SseEvent {
    std::string name;
    std::string data;
};

/** Takes a stream of whole events apart. */
std::vector<SseEvent> events_of(const std::string& stream) {
    std::vector<SseEvent> events;
    SseEvent event;
    size_t at = 0;
    while (at < stream.size()) {
        const size_t end = std::min(stream.find('\n', at), stream.size());
        std::string line = stream.substr(at, end - at);
        at = end + 1;
        if (!line.empty() && line.back() == '\r') {
            line.pop_back();
        }
        if (line.empty() && !event.data.empty()) {
            events.push_back(event);
            event = {};
        } else if (line.rfind("data: ", 0) == 0) {
            event.data += (event.data.empty() ? "" : "\n") + line.substr(6);
        } else if (line.rfind("event: ", 0) == 0) {
            event.name = line.substr(7);
        }
    }
    EXPECT_EQ(event.data, "") << "an event is not whole";
    return events;
}

json::value parsed(const std::string& text) {
    boost::system::error_code error;
    json::value value = json::parse(text, error);
    EXPECT_FALSE(error) << text;
    return value;
}

/** The documents of a stream's end, each of which must be JSON. */
std::vector<json::value> end_of(const std::string& stream, uint64_t most, size_t size = SIZE_MAX,
                                AnswerKind kind = AnswerKind::kSse, bool usage = true) {
    const CutStream cut = cut_stream(stream, kind, most, size, usage);
    EXPECT_TRUE(cut.is_cut);
    // An event of which the client has had the front goes to it whole.
    EXPECT_LE(cut.text, size == SIZE_MAX ? most : most + 4);
    std::vector<json::value> documents;
    for (const SseEvent& event : events_of(cut.end)) {
        if (event.data != "[DONE]") {
            documents.push_back(parsed(event.data));
            if (!event.name.empty()) {
                EXPECT_EQ(documents.back().at("type").as_string(), event.name);
            }
        }
    }
    return documents;
}

std::string named(const std::string& type, const std::string& rest) {
    return "event: " + type + "\ndata: {\"type\":\"" + type + "\"" + (rest.empty() ? "" : ",") +
           rest + "}\n\n";
}

std::string chat_chunk(const std::string& choice) {
    return R"(data: {"id":"c\u0022-1","object":"chat.completion.chunk","created":1700000000,"model":"m/\"1","system_fingerprint":null,"choices":[)" +
           choice + "]}\n\n";
}

std::string chat_stream(int choices = 1) {
    std::string stream;
    for (int i = 0; i < choices; ++i) {
        stream += chat_chunk("{\"index\":" + std::to_string(i) +
                             R"(,"delta":{"role":"assistant","content":""},"finish_reason":null})");
    }
    for (int i = 0; i < 50 * choices; ++i) {
        stream += chat_chunk("{\"index\":" + std::to_string(i % choices) +
                             R"(,"delta":{"content":"QQQQ"},"finish_reason":null})");
    }
    return stream;
}

TEST(StreamEnd, EndsAChatWithItsReasonAndTheUsage) {
    const auto end = end_of(chat_stream(), 42);
    ASSERT_EQ(end.size(), 2u);
    EXPECT_EQ(end[0], parsed(R"({"id":"c\"-1","object":"chat.completion.chunk",
        "created":1700000000,"model":"m/\"1","system_fingerprint":null,"choices":[{"index":0,
        "delta":{},"logprobs":null,"finish_reason":"length"}]})"));
    EXPECT_EQ(end[1].at("choices"), json::array());
    EXPECT_EQ(end[1].at("usage"), parsed(R"({"prompt_tokens":7,"completion_tokens":10,
        "total_tokens":17,"prompt_tokens_details":{"cached_tokens":0},
        "completion_tokens_details":{"reasoning_tokens":0}})"));
}

TEST(StreamEnd, EndsAChatWithDone) {
    const CutStream cut = cut_stream(chat_stream(), AnswerKind::kSse, 42, SIZE_MAX);
    const std::string done = "data: [DONE]\n\n";
    ASSERT_GT(cut.end.size(), done.size());
    EXPECT_EQ(cut.end.substr(cut.end.size() - done.size()), done);
}

TEST(StreamEnd, LeavesTheUsageOutIfNobodyAskedForIt) {
    const auto end = end_of(chat_stream(), 42, SIZE_MAX, AnswerKind::kSse, false);
    ASSERT_EQ(end.size(), 1u);
    EXPECT_EQ(end[0].as_object().if_contains("usage"), nullptr);
}

TEST(StreamEnd, EndsEachChoiceThatHasNotEnded) {
    std::string stream = chat_stream(3);
    const std::string ended = chat_chunk(R"({"index":1,"delta":{},"finish_reason":"stop"})");
    stream.insert(stream.find("QQQQ\"}") + 40, "");
    const size_t second = stream.find("data: ", 10);
    stream.insert(second, ended);
    const auto end = end_of(stream, 60);
    ASSERT_EQ(end.size(), 3u);
    EXPECT_EQ(end[0].at("choices").at(0).at("index"), 0);
    EXPECT_EQ(end[1].at("choices").at(0).at("index"), 2);
}

TEST(StreamEnd, BeginsAChoiceOfWhichTheClientGotNothing) {
    const std::string stream =
        chat_chunk(R"({"index":0,"delta":{"role":"assistant","content":"QQQQQQQQ"}})");
    const auto end = end_of(stream, 3);
    ASSERT_EQ(end.size(), 2u);
    EXPECT_EQ(end[0].at("choices").at(0).at("delta").at("role"), "assistant");
}

TEST(StreamEnd, EndsAllChoicesInOneEventIfTheirEventsWouldBeTooLong) {
    std::string stream = chat_stream(64);
    const std::string model = R"("model":")";
    for (size_t at = 0; (at = stream.find(model, at)) != stream.npos; at += 500) {
        stream.insert(at + model.size(), 400, 'm');
    }
    const auto end = end_of(stream, 640);
    ASSERT_EQ(end.size(), 2u);
    const json::array& choices = end[0].at("choices").as_array();
    ASSERT_EQ(choices.size(), 64u);
    for (size_t i = 0; i < choices.size(); ++i) {
        EXPECT_EQ(choices[i].at("index"), i);
        EXPECT_EQ(choices[i].at("finish_reason"), "length");
    }
    EXPECT_EQ(end[1].at("usage").at("completion_tokens"), 160);
}

TEST(StreamEnd, EndsNoChoiceAgainThatEndedLongAgo) {
    const std::string ended = chat_chunk(R"({"index":0,"delta":{},"finish_reason":"stop"})");
    std::string stream;
    for (int i = 0; i < 100; ++i) {
        stream += chat_stream(2) + (i == 50 ? ended : "");
    }
    for (const size_t size : {size_t{1000}, SIZE_MAX}) {
        const auto end = end_of(stream, 39000, size);
        ASSERT_EQ(end.size(), 2u);
        EXPECT_EQ(end[0].at("choices").at(0).at("index"), 1);
    }
}

TEST(StreamEnd, EndsCompletions) {
    std::string stream;
    for (int i = 0; i < 20; ++i) {
        stream +=
            R"(data: {"id":"c","object":"text_completion","created":5,"model":"m","choices":[{"index":0,"text":"QQQQ","logprobs":null,"finish_reason":null}]})"
            "\n\n";
    }
    const auto end = end_of(stream, 11);
    ASSERT_EQ(end.size(), 2u);
    EXPECT_EQ(end[0], parsed(R"({"id":"c","object":"text_completion","created":5,"model":"m",
        "choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"length"}]})"));
    EXPECT_EQ(end[1].at("usage").at("completion_tokens"), 2);
}

std::string responses_stream(const std::string& more = "") {
    std::string stream =
        named(
            "response.created",
            R"("response":{"id":"r1","object":"response","created_at":5,"status":"in_progress","incomplete_details":null,"model":"m","output":[],"tools":[{"a":"}\"]"}],"usage":null,"metadata":{}},"sequence_number":0)") +
        named(
            "response.output_item.added",
            R"("output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]},"sequence_number":1)") +
        more;
    for (int i = 0; i < 50; ++i) {
        stream += named(
            "response.output_text.delta",
            R"("item_id":"msg_1","output_index":0,"content_index":0,"delta":"QQQQ","sequence_number":)" +
                std::to_string(i + 2));
    }
    return stream;
}

const std::string kPartAdded = named(
    "response.content_part.added",
    R"("item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]})");

TEST(StreamEnd, EndsAResponseAsIncomplete) {
    for (const size_t size : {size_t{1}, size_t{100}, SIZE_MAX}) {
        const auto end = end_of(responses_stream(kPartAdded), 40, size);
        ASSERT_EQ(end.size(), 4u);
        const json::value text = end[0].at("text");
        EXPECT_EQ(text.as_string(), std::string(size == SIZE_MAX ? 40 : 44, 'Q'));
        const json::value part = {{"type", "output_text"},
                                  {"text", text},
                                  {"annotations", json::array()},
                                  {"logprobs", json::array()}};
        const json::value item = {{"id", "msg_1"},
                                  {"type", "message"},
                                  {"status", "incomplete"},
                                  {"role", "assistant"},
                                  {"content", {part}}};
        const uint64_t first = size == SIZE_MAX ? 12 : 13;  // of the numbers in sequence
        const json::object place = {
            {"item_id", "msg_1"}, {"output_index", 0}, {"content_index", 0}};
        json::object text_done = place;
        text_done["type"] = "response.output_text.done";
        text_done["text"] = text;
        text_done["logprobs"] = json::array();
        text_done["sequence_number"] = first;
        EXPECT_EQ(end[0], text_done);
        json::object part_done = place;
        part_done["type"] = "response.content_part.done";
        part_done["part"] = part;
        part_done["sequence_number"] = first + 1;
        EXPECT_EQ(end[1], part_done);
        EXPECT_EQ(end[2], json::value({{"type", "response.output_item.done"},
                                       {"output_index", 0},
                                       {"item", item},
                                       {"sequence_number", first + 2}}));
        json::object last = end[3].as_object();
        EXPECT_EQ(last.at("response").at("usage").at("output_tokens"), size == SIZE_MAX ? 10 : 11);
        last.at("response").as_object().erase("usage");
        EXPECT_EQ(last, json::value({{"type", "response.incomplete"},
                                     {"response",
                                      {{"id", "r1"},
                                       {"object", "response"},
                                       {"created_at", 5},
                                       {"status", "incomplete"},
                                       {"incomplete_details", {{"reason", "max_output_tokens"}}},
                                       {"model", "m"},
                                       {"output", {item}},
                                       {"tools", {{{"a", "}\"]"}}}},
                                       {"metadata", json::object()}}},
                                     {"sequence_number", first + 3}}));
    }
}

TEST(StreamEnd, RepeatsTheItemsAndPartsThatHaveEnded) {
    const std::string reasoning =
        R"({"id":"rs_1","type":"reasoning","summary":[ {"text":"a\"}]"} ]})";
    const std::string refusal = R"({"type":"refusal","refusal":"No,"})";
    const std::string before =
        named("response.output_item.done", "\"output_index\":0,\"item\":" + reasoning) +
        named("response.output_item.added",
              R"("output_index":1,"item":{"id":"msg_1","type":"message"})") +
        named("response.content_part.added", R"("item_id":"msg_1","content_index":0,"part":{})") +
        named("response.refusal.delta", R"("item_id":"msg_1","content_index":0,"delta":"No,")") +
        named("response.content_part.done",
              R"("item_id":"msg_1","content_index":0,"part":)" + refusal) +
        named("response.content_part.added", R"("item_id":"msg_1","content_index":1,"part":{})");
    for (const size_t size : {size_t{1}, size_t{100}, SIZE_MAX}) {
        const auto end = end_of(responses_stream(before), 40, size);
        ASSERT_EQ(end.size(), 4u);
        EXPECT_EQ(end[0].at("content_index"), 1);
        const json::array& output = end[3].at("response").at("output").as_array();
        ASSERT_EQ(output.size(), 2u);
        EXPECT_EQ(output[0], parsed(reasoning));
        const json::array& content = output[1].at("content").as_array();
        ASSERT_EQ(content.size(), 2u);
        EXPECT_EQ(content[0], parsed(refusal));
        EXPECT_EQ(content[1].at("text"), end[0].at("text"));
        EXPECT_EQ(end[2].at("item"), output[1]);
    }
}

TEST(StreamEnd, RepeatsTextWithEscapesAsItStands) {
    const std::string delta = R"("delta":")";
    std::string stream = responses_stream(kPartAdded);
    for (size_t at = 0; (at = stream.find(delta, at)) != stream.npos; at += 20) {
        stream.insert(at + delta.size(), R"(\"\\\ud83d\ude00\n)");
    }
    const auto end = end_of(stream, 40);
    ASSERT_EQ(end.size(), 4u);
    std::string expected;
    for (int i = 0; i < 5; ++i) {
        expected += "\"\\\xF0\x9F\x98\x80\nQQQQ";
    }
    EXPECT_EQ(end[0].at("text").as_string(), expected);
    EXPECT_EQ(end[3].at("response").at("output").at(0).at("content").at(0).at("text"),
              end[0].at("text"));
}

/** Deltas of several kinds, as a reasoning model that calls a tool writes them. */
std::string mixed_deltas() {
    const auto delta = [](const std::string& kind, const std::string& text, int number) {
        return named("response." + kind + ".delta",
                     R"("item_id":"msg_1","output_index":0,"content_index":0,"delta":")" + text +
                         R"(","obfuscation":")" +
                         std::string(static_cast<size_t>(number % 5), 'o') +
                         R"(","sequence_number":)" + std::to_string(number));
    };
    std::string stream;
    for (int i = 0; i < 12; ++i) {
        stream += delta("reasoning_summary_text", "thought", i);
    }
    stream += kPartAdded;
    for (int i = 0; i < 40; ++i) {
        stream += delta("output_text", i % 7 == 3 ? R"(\"\u00e9)" : "w" + std::to_string(i), i);
    }
    stream += delta("output_text", std::string(3000, 'L'), 0);
    for (int i = 0; i < 12; ++i) {
        stream += delta("function_call_arguments", "{x}", i);
    }
    for (int i = 0; i < 12; ++i) {
        stream += delta("output_text", "z", i);
    }
    return stream;
}

TEST(StreamEnd, RepeatsTheSameTextHoweverTheStreamComes) {
    std::string expected;
    for (int i = 0; i < 40; ++i) {
        expected += i % 7 == 3 ? "\"\xC3\xA9" : "w" + std::to_string(i);
    }
    expected += std::string(3000, 'L') + std::string(12, 'z');
    const std::string stream =
        responses_stream().substr(0, responses_stream().find("event: response.output_text.delta")) +
        mixed_deltas() +
        named("response.output_text.delta", R"("delta":")" + std::string(500, 'x') + "\"");
    const uint64_t most = 12 * 7 + 12 * 3 + 3000 + 12 + 200;
    std::vector<size_t> sizes = {1, 2, 3, 60, 100, 171, 256, 700, 1000, 2000, 4096, SIZE_MAX};
    for (const size_t size : sizes) {
        SCOPED_TRACE(size);
        const CutStream cut = cut_stream(stream, AnswerKind::kSse, most, size);
        ASSERT_TRUE(cut.is_cut);
        EXPECT_EQ(cut.body, cut_stream(stream, AnswerKind::kSse, most, size, true, false).body);
        const auto end = events_of(cut.end);
        ASSERT_EQ(end.size(), 4U);
        std::string text(parsed(end[0].data).at("text").as_string());
        text.erase(std::min(text.find('x'), text.size()));
        EXPECT_EQ(text, expected);
    }
}

TEST(StreamEnd, RepeatsNoOutputThatIsTooLong) {
    std::string stream = responses_stream(kPartAdded);
    const std::string delta = R"("delta":")";
    for (size_t at = 0; (at = stream.find(delta, at)) != stream.npos; at += 2020) {
        stream.insert(at + delta.size(), 2000, 'Q');
    }
    for (const auto& [most, events] : {std::pair(62'000U, 4U), std::pair(80'000U, 2U)}) {
        const auto end = end_of(stream, most);
        ASSERT_EQ(end.size(), events);
        const json::value& item = end[events - 2].at("item");
        EXPECT_EQ(item.at("content").as_array().size(), events == 4 ? 1U : 0U);
        EXPECT_EQ(end[events - 1].at("response").at("output").as_array().size(),
                  events == 4 ? 1U : 0U);
    }
}

TEST(StreamEnd, EndsAResponseWhoseFirstEventIsLong) {
    std::string stream = responses_stream();
    const std::string tools = R"("tools":[)";
    stream.insert(stream.find(tools) + tools.size(), "\"" + std::string(20000, 'x') + "\",");
    const auto end = end_of(stream, 40, 4096);
    ASSERT_EQ(end.size(), 2u);
    const json::value& response = end[1].at("response");
    EXPECT_EQ(response.at("id"), "r1");
    EXPECT_EQ(response.at("model"), "m");
    EXPECT_EQ(response.at("status"), "incomplete");
    EXPECT_EQ(end[1].at("sequence_number"), 13);
}

TEST(StreamEnd, WritesAShortEndIfTheFirstEventIsLongAndComesWithTheCut) {
    std::string stream = responses_stream();
    const std::string tools = R"("tools":[)";
    stream.insert(stream.find(tools) + tools.size(), "\"" + std::string(100000, 'x') + "\",");
    const auto end = end_of(stream, 40);
    ASSERT_EQ(end.size(), 2u);
    EXPECT_EQ(end[1].at("response").at("id"), "r1");
    EXPECT_EQ(end[1].at("response").at("status"), "incomplete");
    EXPECT_EQ(end[1].at("response").as_object().if_contains("tools"), nullptr);
}

TEST(StreamEnd, LeavesTheArgumentsOfACallOpen) {
    std::string stream = named("response.created", R"("response":{"id":"r1"})") +
                         named("response.output_item.added",
                               R"("output_index":0,"item":{"id":"fc_1","type":"function_call"})");
    for (int i = 0; i < 50; ++i) {
        stream += named("response.function_call_arguments.delta",
                        R"("item_id":"fc_1","output_index":0,"delta":"QQQQ")");
    }
    const auto end = end_of(stream, 40);
    ASSERT_EQ(end.size(), 1u);
    EXPECT_EQ(end[0].at("type"), "response.incomplete");
}

std::string anthropic_stream() {
    std::string stream =
        named(
            "message_start",
            R"("message":{"id":"m1","type":"message","role":"assistant","model":"c","content":[],"usage":{"input_tokens":9,"output_tokens":1}})") +
        named("content_block_start", R"("index":0,"content_block":{"type":"thinking"})") +
        named("content_block_delta",
              R"("index":0,"delta":{"type":"thinking_delta","thinking":"QQQQ"})") +
        named("content_block_stop", R"("index":0)") +
        named("content_block_start", R"("index":1,"content_block":{"type":"text","text":""})");
    for (int i = 0; i < 20; ++i) {
        stream += named("content_block_delta",
                        R"("index":1,"delta":{"type":"text_delta","text":"QQQQ"})") +
                  named("ping", "");
    }
    return stream;
}

TEST(StreamEnd, EndsAnthropicsOpenBlockAndMessage) {
    for (const size_t size : {size_t{1}, size_t{100}, SIZE_MAX}) {
        const auto end = end_of(anthropic_stream(), 40 + 3, size);
        ASSERT_EQ(end.size(), 3u);
        EXPECT_EQ(end[0], parsed(R"({"type":"content_block_stop","index":1})"));
        EXPECT_EQ(end[1].at("delta"),
                  parsed(R"({"stop_reason":"max_tokens","stop_sequence":null})"));
        EXPECT_EQ(end[1].at("usage").at("output_tokens"), size == SIZE_MAX ? 10 : 11);
        EXPECT_EQ(end[2], parsed(R"({"type":"message_stop"})"));
    }
}

std::string gemini_document(int input = 9) {
    return R"({"candidates":[{"content":{"parts":[{"text":"QQQQ"}],"role":"model"},"index":0}],
        "usageMetadata":{"promptTokenCount":)" +
           std::to_string(input) + R"(},"modelVersion":"g","responseId":"r"})";
}

const char* const kGeminiEnd = R"({"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},
    "finishReason":"MAX_TOKENS","index":0}],"usageMetadata":{"promptTokenCount":9,
    "candidatesTokenCount":2,"totalTokenCount":11},"modelVersion":"g","responseId":"r"})";

TEST(StreamEnd, EndsGeminisEvents) {
    std::string stream;
    for (int i = 0; i < 20; ++i) {
        stream += "data: " + on_one_line(gemini_document()) + "\r\n\r\n";
    }
    const auto end = end_of(stream, 9);
    ASSERT_EQ(end.size(), 1u);
    EXPECT_EQ(end[0], parsed(kGeminiEnd));
}

TEST(StreamEnd, EndsGeminisArray) {
    std::string stream = "[" + gemini_document();
    for (int i = 0; i < 20; ++i) {
        stream += ",\r\n" + gemini_document();
    }
    stream += "\n]\n";
    for (const size_t size : {size_t{1}, size_t{7}, size_t{300}, SIZE_MAX}) {
        const CutStream cut = cut_stream(stream, AnswerKind::kJson, 11, size);
        ASSERT_TRUE(cut.is_cut);
        const json::value all = parsed(cut.body);
        const size_t passed = all.as_array().size() - 1;
        EXPECT_TRUE(passed == 2 || (size < 300 && passed == 3)) << passed;
        EXPECT_EQ(all.at(passed).at("candidates").at(0).at("finishReason"), "MAX_TOKENS");
        EXPECT_EQ(all.at(passed).at("responseId"), "r");
    }
}

TEST(StreamEnd, EndsAnArrayOfWhichAPieceEndsWithItsComma) {
    const std::string front = "[" + gemini_document() + ",\r\n";
    const std::string stream = front + gemini_document() + "]";
    const CutStream cut = cut_stream(stream, AnswerKind::kJson, 4, front.size());
    ASSERT_TRUE(cut.is_cut);
    EXPECT_EQ(parsed(cut.body).as_array().size(), 2u);
}

TEST(StreamEnd, EndsAnArrayBeforeItsFirstElement) {
    const CutStream cut = cut_stream("[" + gemini_document() + "]", AnswerKind::kJson, 1, SIZE_MAX);
    ASSERT_TRUE(cut.is_cut);
    EXPECT_EQ(parsed(cut.body).as_array().size(), 1u);
}

TEST(StreamEnd, NeverEndsAnArrayThatHoldsOtherThanObjects) {
    for (const std::string element : {R"("QQQQ")", R"([{"text":"QQQQ"}])", "1234", "null"}) {
        std::string answer = "[" + element;
        for (int i = 0; i < 20; ++i) {
            answer += ", " + gemini_document();
        }
        answer += "]";
        for (const size_t size : {size_t{1}, size_t{30}, SIZE_MAX}) {
            const CutStream cut = cut_stream(answer, AnswerKind::kJson, 2, size);
            EXPECT_FALSE(cut.is_cut) << element;
            EXPECT_EQ(cut.form, StreamForm::kNone) << element;
        }
    }
}

TEST(StreamEnd, EndsOllamasLines) {
    for (const std::string text :
         {R"("message":{"role":"assistant","content":"QQQQ"})", R"("response":"QQQQ")"}) {
        std::string stream;
        for (int i = 0; i < 20; ++i) {
            stream += R"({"model":"m","created_at":"2026-01-02T03:04:05Z",)" + text +
                      ",\"done\":false}\n";
        }
        for (const AnswerKind kind : {AnswerKind::kLines, AnswerKind::kJson}) {
            const CutStream cut = cut_stream(stream, kind, 9, 1000);
            ASSERT_TRUE(cut.is_cut);
            EXPECT_EQ(cut.text, 8u);
            const json::value end = parsed(cut.end);
            EXPECT_EQ(end.at("done"), true);
            EXPECT_EQ(end.at("done_reason"), "length");
            EXPECT_EQ(end.at("model"), "m");
            EXPECT_EQ(end.at("prompt_eval_count"), 7);
            EXPECT_EQ(end.at("eval_count"), 2);
        }
    }
}

TEST(StreamEnd, EndsCoheresContentAndMessage) {
    std::string stream = named("message-start", R"("id":"c1","delta":{})") +
                         named("content-start", R"("index":0,"delta":{})");
    for (int i = 0; i < 20; ++i) {
        stream +=
            named("content-delta", R"("index":0,"delta":{"message":{"content":{"text":"QQQQ"}}})");
    }
    const auto end = end_of(stream, 9);
    ASSERT_EQ(end.size(), 2u);
    EXPECT_EQ(end[0], parsed(R"({"type":"content-end","index":0})"));
    EXPECT_EQ(end[1], parsed(R"({"type":"message-end","id":"c1","delta":{
        "finish_reason":"MAX_TOKENS","usage":{"billed_units":{"input_tokens":7,"output_tokens":2},
        "tokens":{"input_tokens":7,"output_tokens":2}}}})"));
}

TEST(StreamEnd, NeverEndsASingleDocument) {
    const std::string answer =
        R"({"choices":[{"message":{"content":"QQQQQQQQQQQQ"},"finish_reason":"stop"}]})"
        "\n";
    for (const size_t size : {size_t{1}, size_t{30}, SIZE_MAX}) {
        EXPECT_FALSE(cut_stream(answer, AnswerKind::kJson, 2, size).is_cut);
    }
}

/** True if the bytes are whole events, lines, or one array. */
void expect_well_formed(const std::string& body, AnswerKind kind) {
    if (kind == AnswerKind::kSse) {
        for (const SseEvent& event : events_of(body)) {
            if (event.data != "[DONE]") {
                parsed(event.data);
            }
        }
    } else if (kind == AnswerKind::kJson) {
        parsed(body);
    } else if (kind == AnswerKind::kLines) {
        size_t at = 0;
        while (at < body.size()) {
            const size_t end = body.find('\n', at);
            ASSERT_NE(end, body.npos);
            parsed(body.substr(at, end - at));
            at = end + 1;
        }
    }
}

TEST(StreamEnd, LeavesEachStreamWellFormedWhereverItEnds) {
    std::vector<ProviderAnswer> streams = provider_answers();
    streams.push_back({"chat", AnswerKind::kSse, chat_stream(2), {}, ""});
    streams.push_back({"responses", AnswerKind::kSse, responses_stream(), {}, ""});
    streams.push_back({"anthropic", AnswerKind::kSse, anthropic_stream(), {}, ""});
    int cuts = 0;
    for (const ProviderAnswer& answer : streams) {
        SCOPED_TRACE(answer.name);
        for (uint64_t most = 0; most<130; most += answer.body.size()> 4000 ? 7 : 1) {
            for (const size_t size : {size_t{1}, size_t{13}, size_t{100}, SIZE_MAX}) {
                const CutStream cut = cut_stream(answer.body, answer.kind, most, size);
                if (!cut.is_cut) {
                    EXPECT_EQ(cut.body, answer.body);
                    continue;
                }
                ++cuts;
                expect_well_formed(cut.body, answer.kind);
                // One event is too much at most.
                EXPECT_LE(cut.text, most + 100);
                const auto seen =
                    static_cast<uint64_t>(std::count(cut.front.begin(), cut.front.end(), 'Q'));
                // Arguments that are an object count in bytes, and names of fields have a Q.
                const bool counts_bytes =
                    std::string_view(answer.name).find("arguments") != std::string_view::npos ||
                    std::string_view(answer.name).find("image") != std::string_view::npos;
                if (!answer.repeats_text && !counts_bytes) {
                    EXPECT_EQ(seen, cut.text);
                }
            }
        }
    }
    EXPECT_GT(cuts, 1000);
}

}  // namespace
}  // namespace ai_limit
