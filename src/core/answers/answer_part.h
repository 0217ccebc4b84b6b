#pragma once

#include <string_view>

#include "core/counts/usage_counts.h"

namespace ai_limit {

/** A part of a count that an answer names, such as
 * `{"modality":"AUDIO","tokenCount":5}`. */
struct AnswerPart {
    std::string_view name;
    UsageField of_input;
    UsageField of_output;
};

/** Finds a part by its name, or returns nullptr if the name is of no interest. Static. */
const AnswerPart* find_answer_part(std::string_view name);

}  // namespace ai_limit
