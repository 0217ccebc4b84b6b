#include "core/answers/answer_event.h"

namespace ai_limit {

namespace {

struct EventType {
    std::string_view type;
    AnswerEvent event;
};

constexpr EventType kEventTypes[] = {
    {"message_stop", AnswerEvent::kEnd},        // Anthropic
    {"response.completed", AnswerEvent::kEnd},  // OpenAI Responses
    {"response.incomplete", AnswerEvent::kEnd},
    {"response.failed", AnswerEvent::kError},
    {"error", AnswerEvent::kError},
    {"response.web_search_call.completed", AnswerEvent::kSearch},
    {"web_search_call", AnswerEvent::kSearch},
    {"response.image_generation_call.completed", AnswerEvent::kImage},
    {"image_generation_call", AnswerEvent::kImage},
    {"transcript.text.done", AnswerEvent::kEnd},
    {"image_generation.completed", AnswerEvent::kImageEnd},
    {"image_edit.completed", AnswerEvent::kImageEnd},
    {"message-end", AnswerEvent::kEnd},  // Cohere
    {"stream-end", AnswerEvent::kEnd},
    {"interaction.completed", AnswerEvent::kEnd},  // Gemini's Interactions
    {"interaction.complete", AnswerEvent::kEnd},
    {"chat.end", AnswerEvent::kEnd},                  // LM Studio
    {"ALTERNATIVE_STATUS_FINAL", AnswerEvent::kEnd},  // Yandex
};

}  // namespace

AnswerEvent answer_event(std::string_view type) {
    for (const EventType& row : kEventTypes) {
        if (row.type == type) {
            return row.event;
        }
    }
    return AnswerEvent::kPlain;
}

}  // namespace ai_limit
