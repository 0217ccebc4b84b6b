#pragma once

// Reads whole answers, in one piece and cut anywhere, for the tests of UsageReader.

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <string_view>

#include "core/counts/answer_cost.h"
#include "core/usage/usage.h"

namespace ai_limit {

constexpr Amount kUnknown = UINT64_MAX;

/** All facts that are read from an answer. Input and output are kUnknown if it reported none. */
struct AnswerFields {
    Amount input = kUnknown;
    Amount output = kUnknown;
    Amount cached = 0;
    uint64_t text = 0;
    bool malformed = false;

    bool operator==(const AnswerFields& other) const {
        return input == other.input && output == other.output && cached == other.cached &&
               text == other.text && malformed == other.malformed;
    }
};

inline std::ostream& operator<<(std::ostream& out, const AnswerFields& reported) {
    return out << "{input " << static_cast<int64_t>(reported.input) << ", output "
               << static_cast<int64_t>(reported.output) << ", cached " << reported.cached
               << ", text " << reported.text << (reported.malformed ? ", malformed}" : "}");
}

/** Expects that a well-formed answer has reported these. */
inline void expect(const AnswerFields& reported, Amount input, Amount output, Amount cached,
                   uint64_t text) {
    EXPECT_EQ(reported, (AnswerFields{input, output, cached, text, false}));
}

/** Returns the cost of an answer that has been read whole. `prompt`: the estimate of its prompt. */
inline AnswerCost cost_of(const UsageReader& reader, Amount prompt = 0) {
    AnswerFacts facts;
    facts.reported = reader.reported();
    facts.finished = reader.is_finished();
    facts.reports_all_output = reader.reports_all_output();
    facts.text = reader.text_characters();
    facts.unreadable = reader.unreadable_bytes();
    facts.prompt = prompt;
    return answer_cost(facts);
}

inline AnswerFields reported(const UsageReader& reader) {
    AnswerFields result;
    if (reader.has_usage()) {
        result.input = reader.reported().counts.input;
        result.output = reader.reported().counts.output;
        result.cached = reader.reported().counts.cached_input;
    }
    result.text = reader.text_characters();
    result.malformed = reader.malformed();
    return result;
}

/** Reads an answer in pieces of at most `most` bytes, each in memory of its own. */
inline AnswerFields read_answer(AnswerKind kind, std::string_view body, size_t most) {
    UsageReader reader(kind, nullptr);
    while (!body.empty()) {
        const std::string piece(body.substr(0, most));
        body.remove_prefix(piece.size());
        reader.feed(piece);
    }
    reader.finish();
    return reported(reader);
}

/** Whole, in pieces of every size, and in two of them. */
inline AnswerFields read_answer(AnswerKind kind, std::string_view body) {
    const AnswerFields whole = read_answer(kind, body, body.size() + 1);
    for (size_t most = 1; most < body.size() && most < 100; ++most) {
        EXPECT_EQ(read_answer(kind, body, most), whole) << body << " in pieces of " << most;
    }
    for (size_t cut = 0; cut < body.size(); ++cut) {
        UsageReader reader(kind, nullptr);
        reader.feed(body.substr(0, cut));
        reader.feed(body.substr(cut));
        reader.finish();
        EXPECT_EQ(reported(reader), whole) << body << " cut at " << cut;
    }
    return whole;
}

}  // namespace ai_limit
