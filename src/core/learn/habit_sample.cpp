#include "core/learn/habit_sample.h"

namespace ai_limit {

HabitSample habit_sample(const AnswerFacts& facts, const AnswerCost& cost,
                         const AskedOutput& asked) {
    HabitSample sample{};
    const TokenCounts& used = cost.counts;
    const bool is_of_model = facts.prompt != 0 || facts.reported.has_output;
    if (!is_of_model || facts.reported.is_total || (used.input == 0 && used.output == 0)) {
        return sample;
    }
    sample.has_output = true;
    sample.output = used.output;
    sample.is_least_output = !facts.finished || (asked.is_limited && used.output >= asked.most);
    if (facts.reported.has_input && used.input != 0 && used.input == facts.reported.counts.input) {
        sample.prompt = facts.prompt;
        sample.input = used.input;
    }
    return sample;
}

}  // namespace ai_limit
