#pragma once

// Keeps of a stream's server-sent events what its end has to repeat, and what is spread over all of
// them: the output of OpenAI's Responses, and which choices have ended.
//
// Most streams need none of it (core/endings/stream_copy.h), so only those of Responses and of
// several choices are followed like this. An event like the one before is not parsed.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/endings/stream_facts.h"
#include "core/json/json_scan.h"
#include "core/json/json_text.h"
#include "core/streams/event_template.h"
#include "core/streams/sse.h"

namespace ai_limit {

/** The output of a response so far, as it stands in its events. */
struct PassedOutput {
    JsonBytes items;  // those that have ended, with commas between them
    JsonBytes parts;  // of the content of the open item: the same
    JsonBytes text;   // of its open part: bytes of a JSON string, without quotes
    uint64_t content_index = 0;
    bool part_is_open = false;  // the client has had its beginning
    bool is_refusal = false;
};

/** One stream. Trivially copyable. */
class PassedEvents {
public:
    /** A longer output is not kept: the end of the stream does not repeat it. */
    static constexpr size_t kMost = 65536;

    /**
     * Returns memory of `size` bytes that begins with the first `kept` bytes of `memory`, which is
     * not used any more. nullptr if there is none: the output is not kept then.
     */
    using Grow = char* (*)(void* owner, char* memory, size_t kept, size_t size);

    PassedEvents(void* owner, Grow grow);

    /** The client gets these bytes of the stream. */
    void pass(std::string_view piece);

    /** Returns a bit for each choice that has ended, of the first StreamFacts::kChoices. */
    uint64_t ended() const { return ended_; }

    /** Returns false if the output is not known, or not kept. It lies in this object's memory. */
    bool output(PassedOutput* output) const;

private:
    /** The values of the event that is being read. */
    struct Event {
        JsonText<64> type;
        uint64_t content_index = 0;
        uint64_t choice = 0;
        uint64_t ended = 0;
        bool choice_has_reason = false;
    };

    void take_known(std::string_view* rest);
    void read(std::string_view data);
    void take(const JsonToken& token);
    void take_delta(const JsonToken& token);
    void take_object(const JsonToken& token);
    void end_event(std::string_view rest);
    bool end_text(std::string_view type);
    void end_object(std::string_view type);
    void begin_value(std::string_view front);
    void add(std::string_view bytes);
    void keep_value(size_t before, size_t* section);
    size_t used() const { return items_ + parts_ + text_ + value_; }

    SseReader events_;
    JsonScanner scanner_;
    EventTemplate known_;  // an event that adds to the text
    EventDraft draft_;
    Event event_;
    uint64_t ended_ = 0;
    uint64_t content_index_ = 0;
    bool part_is_open_ = false;
    bool is_refusal_ = false;
    bool is_response_ = false;
    bool gave_up_ = false;

    // One section behind the other, each of so many bytes.
    char* memory_ = nullptr;
    size_t size_ = 0;
    size_t items_ = 0;  // with a comma before each
    size_t parts_ = 0;  // the same
    size_t text_ = 0;
    size_t value_ = 0;                 // of the event that is being read
    const char* object_at_ = nullptr;  // the rest of an object begins there, in the data at hand
    bool in_object_ = false;

    void* owner_;
    Grow grow_;
};

}  // namespace ai_limit
