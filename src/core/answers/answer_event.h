#pragma once

#include <cstdint>
#include <string_view>

namespace ai_limit {

/** The meaning of the `type` of an event or of a part of an answer. */
enum class AnswerEvent : uint8_t {
    kPlain,
    kEnd,       // the last one, but for usage
    kImageEnd,  // the same, with an image
    kImage,
    kError,  // the answer ends with it
    kSearch
};

AnswerEvent answer_event(std::string_view type);

}  // namespace ai_limit
