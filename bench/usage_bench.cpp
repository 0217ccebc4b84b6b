// Measures how quickly an answer is read for what it used, beside a full parse of the same
// documents by Boost.JSON that keeps nothing of them. Prints Markdown.
//
// Processor time is measured, so that other processes matter less.

#include <time.h>

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/src.hpp>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "core/streams/sse.h"
#include "core/usage/usage.h"

namespace {

using namespace ai_limit;
namespace json = boost::json;

constexpr double kGoal = 4000;  // MB/s

double now() {
    timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

/** An answer, whole and as the pieces in which it comes. */
struct Answer {
    AnswerKind kind;
    std::string body;
    std::vector<std::string_view> pieces;
};

/** Words as models write them; each 20th or so has an escape. */
class Words {
public:
    std::string next() {
        static constexpr const char* kWords[] = {" the", " of", "ing",   " token", ",",   " rate",
                                                 " a",   ".",   " limi", "ted",    " and"};
        return random_() % 20 == 0 ? "\\n\\n" : kWords[random_() % std::size(kWords)];
    }
    std::string letters() { return std::string(1 + random_() % 16, 'x'); }

private:
    std::mt19937_64 random_{1};
};

std::string openai_event(Words* words, bool obfuscated) {
    std::string event =
        "data: {\"id\":\"chatcmpl-C1vUzV0dIYjWcYhKq9mWgTQ5x\",\"object\":"
        "\"chat.completion.chunk\",\"created\":1755000000,\"model\":\"gpt-4o\",\"choices\":[{"
        "\"index\":0,\"delta\":{\"content\":\"" +
        words->next() + "\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null";
    event += obfuscated ? ",\"obfuscation\":\"" + words->letters() + "\"" : "";
    return event + "}\n\n";
}

std::string anthropic_event(Words* words) {
    return "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
           "\"delta\":{\"type\":\"text_delta\",\"text\":\"" +
           words->next() + "\"}}\n\n";
}

std::string responses_event(Words* words, int number) {
    return "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\","
           "\"sequence_number\":" +
           std::to_string(number) +
           ",\"item_id\":\"msg_68a1b2c3d4e5f60718293a4b5c6d7e8f\",\"output_index\":0,"
           "\"content_index\":0,\"delta\":\"" +
           words->next() + "\",\"logprobs\":[],\"obfuscation\":\"" + words->letters() + "\"}\n\n";
}

std::string json_answer(Words* words) {
    std::string text;
    while (text.size() < 100'000) {
        text += words->next();
    }
    return "{\"id\":\"c1\",\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{"
           "\"role\":\"assistant\",\"content\":\"" +
           text +
           "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":12,"
           "\"completion_tokens\":25000,\"total_tokens\":25012}}";
}

constexpr int kEvents = 4000;

std::string events_of(std::string (*event)(Words*, int)) {
    Words words;
    std::string body;
    for (int i = 0; i < kEvents; ++i) {
        body += event(&words, i);
    }
    return body;
}

void cut_after(Answer* answer, size_t size) {
    for (std::string_view rest = answer->body; !rest.empty();) {
        answer->pieces.push_back(rest.substr(0, size));
        rest.remove_prefix(answer->pieces.back().size());
    }
}

void cut_into_events(Answer* answer) {
    for (std::string_view rest = answer->body; !rest.empty();) {
        answer->pieces.push_back(rest.substr(0, rest.find("\n\n") + 2));
        rest.remove_prefix(answer->pieces.back().size());
    }
}

uint64_t read_usage(const Answer& answer) {
    UsageReader reader(answer.kind, nullptr);
    for (const std::string_view piece : answer.pieces) {
        reader.feed(piece);
    }
    reader.finish();
    if (reader.malformed()) {
        printf("an answer of the benchmark is malformed\n");
        exit(1);
    }
    return reader.text_characters();
}

/** Takes everything and keeps nothing. */
struct Nothing {
    static constexpr size_t max_array_size = SIZE_MAX;
    static constexpr size_t max_object_size = SIZE_MAX;
    static constexpr size_t max_string_size = SIZE_MAX;
    static constexpr size_t max_key_size = SIZE_MAX;

    using Error = boost::system::error_code;
    using Text = json::string_view;

    bool on_document_begin(Error&) { return true; }
    bool on_document_end(Error&) { return true; }
    bool on_array_begin(Error&) { return true; }
    bool on_array_end(size_t, Error&) { return true; }
    bool on_object_begin(Error&) { return true; }
    bool on_object_end(size_t, Error&) { return true; }
    bool on_string_part(Text, size_t, Error&) { return true; }
    bool on_string(Text, size_t, Error&) { return true; }
    bool on_key_part(Text, size_t, Error&) { return true; }
    bool on_key(Text, size_t, Error&) { return true; }
    bool on_number_part(Text, Error&) { return true; }
    bool on_int64(int64_t, Text, Error&) { return true; }
    bool on_uint64(uint64_t, Text, Error&) { return true; }
    bool on_double(double, Text, Error&) { return true; }
    bool on_bool(bool, Error&) { return true; }
    bool on_null(Error&) { return true; }
    bool on_comment_part(Text, Error&) { return true; }
    bool on_comment(Text, Error&) { return true; }
};

/** Documents as SseReader hands them over, or one in pieces. */
struct BoostReader {
    void data(std::string_view text) {
        parser.write_some(true, text.data(), text.size(), error);
        used += text.size();
    }
    void end_of_event() { parser.reset(); }

    json::basic_parser<Nothing> parser{json::parse_options()};
    boost::system::error_code error;
    uint64_t used = 0;
};

uint64_t read_with_boost(const Answer& answer) {
    BoostReader boost;
    SseReader events;
    for (const std::string_view piece : answer.pieces) {
        if (answer.kind == AnswerKind::kSse) {
            events.feed(piece, boost);
        } else {
            boost.data(piece);
        }
    }
    if (boost.error) {
        printf("Boost cannot read an answer of the benchmark\n");
        exit(1);
    }
    return boost.used;
}

/** MB/s, the median of some rounds. */
double measure(const Answer& answer, uint64_t (*read)(const Answer&)) {
    std::vector<double> rates;
    uint64_t sum = 0;
    for (int round = 0; round < 9; ++round) {
        const double begin = now();
        uint64_t bytes = 0;
        for (; bytes < 50'000'000; bytes += answer.body.size()) {
            sum += read(answer);
        }
        rates.push_back(static_cast<double>(bytes) / (now() - begin) / 1e6);
    }
    if (sum == 0) {
        exit(1);
    }
    std::sort(rates.begin(), rates.end());
    return rates[rates.size() / 2];
}

void print_row(const char* what, const char* pieces, const Answer& answer, bool judged) {
    const double ours = measure(answer, read_usage);
    const double theirs = measure(answer, read_with_boost);
    const size_t events = answer.kind == AnswerKind::kSse ? kEvents : 1;
    printf("| %s | %zu | %s | %.0f | %.0f | %.1f | %s |\n", what, answer.body.size() / events,
           pieces, ours, theirs, ours / theirs,
           !judged         ? ""
           : ours >= kGoal ? "yes"
                           : "**no**");
    fflush(stdout);
}

struct Stream {
    const char* name;
    std::string (*event)(Words*, int);
    bool judged;
};

constexpr Stream kStreams[] = {
    {"OpenAI chat", [](Words* words, int) { return openai_event(words, false); }, true},
    {"OpenAI chat, obfuscated", [](Words* words, int) { return openai_event(words, true); }, false},
    {"OpenAI Responses", responses_event, false},
    {"Anthropic", [](Words* words, int) { return anthropic_event(words); }, false},
};

}  // namespace

int main() {
    printf(
        "\nReading an answer for its usage, MB/s of processor time. Goal 6: at least %.0f on a "
        "stream like OpenAI's.\n\n",
        kGoal);
    printf("| answer | bytes each | pieces | reader | Boost.JSON | times faster | holds |\n");
    printf("| --- | ---: | --- | ---: | ---: | ---: | --- |\n");
    for (const Stream& stream : kStreams) {
        Answer answer{AnswerKind::kSse, events_of(stream.event), {}};
        cut_after(&answer, 4096);
        print_row(stream.name, "4 KB", answer, stream.judged);
        answer.pieces.clear();
        cut_into_events(&answer);
        print_row(stream.name, "an event each", answer, stream.judged);
    }
    Words words;
    Answer answer{AnswerKind::kJson, json_answer(&words), {}};
    cut_after(&answer, 4096);
    print_row("JSON, not streamed", "4 KB", answer, false);
    return 0;
}
