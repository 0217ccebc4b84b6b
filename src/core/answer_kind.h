#pragma once

#include <cstdint>
#include <string_view>

namespace ai_limit {

/** How the body of an answer is made up. */
enum class AnswerKind : uint8_t {
    kOther,       // not to be read: only headers can tell something
    kJson,        // one document
    kSse,         // server-sent events, each with a document
    kLines,       // a document on each line (NDJSON)
    kEventStream  // Amazon's binary messages
};

/** Reads a Content-Type; its parameters, and upper and lower case, make no difference. */
AnswerKind answer_kind(std::string_view content_type);

}  // namespace ai_limit
