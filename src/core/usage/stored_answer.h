#pragma once

// Answers that a server keeps, and that can be fetched again: their paths, and their ids.

#include <cstdint>
#include <string_view>

#include "core/json/json_scan.h"
#include "core/json/json_text.h"
#include "core/streams/sse.h"
#include "core/zone/charged_answers.h"

namespace ai_limit {

/** The purpose of a request. */
enum class StoredAnswer : uint8_t {
    kNone,
    kMade,  // …/responses, …/interactions: an answer is made
    kFetched  // …/responses/ID, …/responses/ID/cancel, the same of interactions: one that was made
};

/** Reads a path, decoded, without arguments. A prefix before the API's own path does no harm. */
StoredAnswer stored_answer(std::string_view path);

/** Finds the id of one answer, in its body as it passes. Trivially copyable. */
class AnswerIdReader {
public:
    AnswerIdReader();

    /** The next piece of the body, with no content coding: JSON or a stream of events. */
    void feed(std::string_view piece);

    /** The id has been found: nothing more needs to be fed. */
    bool has_found() const { return found_; }

    /** The id so far, in this object's memory; empty if there is none, or it has more than
     * kMaxAnswerId bytes. */
    std::string_view id() const;

private:
    void read(std::string_view text);

    JsonScanner scanner_;
    SseReader events_;
    JsonText<kMaxAnswerId> id_;
    bool begun_ = false;
    bool is_json_ = false;
    bool found_ = false;
};

}  // namespace ai_limit
