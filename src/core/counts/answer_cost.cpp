#include "core/counts/answer_cost.h"

#include <algorithm>

namespace ai_limit {

namespace {

/** Characters that OpenAI's own limiter counts as one token of a prompt. */
constexpr uint64_t kPerToken = 4;

/** The approximate speed of a large model. */
constexpr Amount kTokensPerSecond = 50;

/** Parts that were reported stay parts if the whole changes. */
void set_input(Amount input, TokenCounts* counts) {
    counts->input = std::min(input, kMaxAmount);
    for (Amount* part : {&counts->cached_input, &counts->cache_write, &counts->cache_write_1h,
                         &counts->audio_input}) {
        *part = std::min(*part, counts->input);
    }
}

/** Text is never free, so it is rounded up. */
Amount seen_tokens(const AnswerFacts& facts) {
    const uint64_t text = facts.text / kPerToken + (facts.text % kPerToken != 0 ? 1 : 0);
    const uint64_t least = facts.unreadable > 0 ? 1 : 0;
    return std::min(std::max(text + facts.unreadable / kPerToken, least), kMaxAmount);
}

/** A cache in front of the model may answer with text and zeros: then nothing was used. */
bool reports_nothing_used(const AnswerFacts& facts) {
    const ReportedUsage& reported = facts.reported;
    return facts.finished && reported.has_input && reported.has_output &&
           reported.counts.input == 0 && reported.counts.output == 0;
}

}  // namespace

AnswerCost answer_cost(const AnswerFacts& facts) {
    AnswerCost cost{facts.reported.counts};
    TokenCounts& counts = cost.counts;
    const Amount seen = seen_tokens(facts);
    if (reports_nothing_used(facts)) {
        return cost;
    }
    const bool lacks_output = facts.text > 0 && counts.output == 0 && !facts.reported.is_total;
    if (!facts.finished || lacks_output) {
        cost.estimated = seen > counts.output || (seen > 0 && !facts.reports_all_output);
        counts.output = std::max(counts.output, seen);
    }
    const bool lacks_input =
        !facts.reported.has_input || (counts.input == 0 && (counts.output > 0 || !facts.finished));
    if (lacks_input && (facts.prompt > 0 || !facts.reported.has_output)) {
        set_input(facts.prompt, &counts);
        cost.estimated = true;
    }
    return cost;
}

AnswerCost abandoned_cost(Amount prompt, Millis waited, Amount most_output) {
    constexpr Millis kLongest = 1'000'000'000;  // keeps the product small
    const auto millis = static_cast<Amount>(std::clamp<Millis>(waited, 0, kLongest));
    AnswerCost cost;
    cost.counts.input = std::min(prompt, kMaxAmount);
    cost.counts.output = std::min({millis * kTokensPerSecond / 1000, most_output, kMaxAmount});
    cost.estimated = true;
    return cost;
}

}  // namespace ai_limit
