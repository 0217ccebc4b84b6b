#pragma once

// Writes the events that end a stream as its API ends one that has reached its token limit.

#include "core/counts/token_counts.h"
#include "core/endings/event_ends.h"
#include "core/endings/passed_events.h"
#include "core/endings/stream_facts.h"
#include "core/words/text_writer.h"

namespace ai_limit {

/** The answer that a stream's end reports. */
struct StreamEnding {
    const StreamFacts* facts;
    const PassedOutput* output;  // Responses; nullptr: its end repeats none
    StreamForm form;
    TokenCounts used;
    bool reports_usage;       // OpenAI's chat and completions: the client has asked for it
    bool follows_an_element;  // kArray: a comma is needed
    bool is_short;            // leaves out what may be long and no client needs
};

/**
 * Writes what follows the events that the client has had. Writes nothing if the stream's API is not
 * known, or has no such end in this form: the stream then ends by itself. False if `out` is too
 * small; what stands there is of no use then. kMaxStreamEnd bytes are enough for a short end
 * without its output.
 */
bool write_stream_end(const StreamEnding& end, TextWriter* out);

/** More than 64 choices and two events with five facts of kMaxFact bytes take. */
constexpr size_t kMaxStreamEnd = 16384;

/** The end of a response repeats the parts of its open item, and the text of the open part, so many
 * times. */
constexpr size_t kPartCopies = 2;
constexpr size_t kTextCopies = 4;

}  // namespace ai_limit
