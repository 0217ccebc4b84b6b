#pragma once

// Decides what a request costs. It uses the usage that the answer reported, how the answer ended,
// and the observed part of the answer. Input and output are judged separately.

#include <cstdint>

#include "core/counts/token_counts.h"
#include "core/counts/usage_counts.h"
#include "core/words/types.h"

namespace ai_limit {

/** The known facts of an answer with a 2xx status. */
struct AnswerFacts {
    ReportedUsage reported;
    bool finished = false;            // see UsageReader::is_finished()
    bool reports_all_output = false;  // see UsageReader::reports_all_output()
    uint64_t text = 0;                // characters that were seen of what the model wrote
    uint64_t unreadable = 0;          // bytes that could not be read as anything
    Amount prompt = 0;                // estimated input tokens; 0 for a request without a prompt
};

struct AnswerCost {
    TokenCounts counts;      // no more than kMaxAmount each
    bool estimated = false;  // the input or the output may differ from what the answer reported
};

/**
 * A finished answer that reports 0 for both costs nothing. Otherwise the input is as reported. If
 * that is nothing, or 0 beside some output or in an answer that is not finished, it is the estimate
 * of the prompt. The output is as reported, if the answer is finished and that is no 0 beside
 * text. Otherwise it is at least a token for each four characters of text, rounded up, and for each
 * four unreadable bytes; fewer of these alone are a token, too.
 */
AnswerCost answer_cost(const AnswerFacts& facts);

/**
 * Returns the cost of a request whose client left before the answer began. It is the estimate of
 * the prompt and, for each second that the model worked, 50 tokens of output, at most
 * `most_output`.
 */
AnswerCost abandoned_cost(Amount prompt, Millis waited, Amount most_output);

}  // namespace ai_limit
