#include "core/answers/answer_part.h"

namespace ai_limit {

namespace {

constexpr AnswerPart kParts[] = {
    {"AUDIO", UsageField::kAudioInput, UsageField::kAudioOutput},     // Gemini
    {"audio", UsageField::kAudioInput, UsageField::kAudioOutput},     // its Interactions
    {"google_search", UsageField::kSearches, UsageField::kSearches},  // the same
    {"1h", UsageField::kCacheWrite1h, UsageField::kCacheWrite1h},     // Bedrock
};

}  // namespace

const AnswerPart* find_answer_part(std::string_view name) {
    for (const AnswerPart& part : kParts) {
        if (part.name == name) {
            return &part;
        }
    }
    return nullptr;
}

}  // namespace ai_limit
