#pragma once

// Gathers from the events of a stream what must be known to end it as its API ends one that has
// reached its token limit.
//
// Values are kept as they stand in the events, so they are valid JSON there and in the end of the
// stream, whatever the server sent. Only whole values of documents that are well-formed up to there
// are kept.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ai_limit {

/** The API that a stream speaks, as its events show. */
enum class StreamApi : uint8_t {
    kUnknown,
    kChat,  // OpenAI's
    kCompletions,
    kResponses,
    kAnthropic,
    kGemini,
    kOllamaChat,
    kOllamaGenerate,
    kCohere  // version 2
};

/** A value of an event, as it stands there; empty if there is none. */
using JsonBytes = std::string_view;

/** Longer values than this are not kept, except for the object `response`. */
constexpr size_t kMaxFact = 512;

/** The facts of the events so far. The events outlive it. */
struct StreamFacts {
    /** OpenAI allows 128 choices; those beyond these are not ended. */
    static constexpr size_t kChoices = 64;

    /**
     * Reads the document of one event, which may be cut short. `passes`: the client gets the event.
     * One that it does not get says what is open nevertheless.
     */
    void read(std::string_view document, bool passes);

    StreamApi api = StreamApi::kUnknown;
    JsonBytes id;
    JsonBytes model;
    JsonBytes created;  // `created`, `created_at`
    JsonBytes fingerprint;
    JsonBytes service_tier;
    JsonBytes response_id;  // Gemini's
    uint64_t choices = 0;   // a bit for each that has been seen
    uint64_t begun = 0;     // those of which the client got something
    uint64_t ended = 0;     // those with a reason why they ended

    // Responses
    JsonBytes response;  // the object of `response.created`
    JsonBytes item;      // the id of the open item of the output
    bool item_is_message = false;
    uint64_t output_index = 0;
    uint64_t sequence = 0;  // the number of the next event
    bool has_sequence = false;

    // Anthropic and Cohere: the open part of the message
    bool part_is_open = false;
    bool part_is_call = false;
    uint64_t part = 0;
};

}  // namespace ai_limit
