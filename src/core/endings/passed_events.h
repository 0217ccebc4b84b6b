#pragma once

// Keeps of a stream's server-sent events what its end has to repeat, and what is spread over all of
// them: the output of OpenAI's Responses, and which choices have ended.
//
// Most streams need none of it (core/endings/stream_copy.h), so only those of Responses and of
// several choices are followed like this. The usage reader finds the text of events that are like
// one before, and all that they cost here is a copy of that text.

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

    /**
     * Returns where `reader` is to put the texts of known events of the next piece; nullptr if they
     * are not needed. `reader` reads the whole stream, and what it knows changes only in pieces
     * that are passed by pass().
     */
    KnownTexts* texts(const KnownEvents& reader) {
        if (!agrees_) {
            agrees_ = known_.is_same(reader.event());
        }
        texts_ = agrees_ && adds_ ? room_for_texts() : KnownTexts(nullptr, 0);
        return agrees_ && adds_ ? &texts_ : nullptr;
    }

    /** The client gets a piece for which texts() was called, and of which `reader` has then read
     * all as known events. */
    void pass_known(std::string_view piece, const KnownEvents& reader) {
        if (agrees_ && is_between_) {
            text_ += texts_.size();
            keep_front(reader.front());
        } else {
            pass_first_known(piece, reader);
        }
    }

    /** Returns a bit for each choice that has ended, of the first StreamFacts::kChoices. */
    uint64_t ended() const { return ended_; }

    /** Returns false if the output is not known, or not kept. It lies in this object's memory. */
    bool output(PassedOutput* output) const;

private:
    /** The values of the event that is being read. */
    struct Event {
        JsonText<64> type;
        bool is_skipped = false;  // its type says that nothing in it is of interest
        uint64_t content_index = 0;
        uint64_t choice = 0;
        uint64_t ended = 0;
        bool choice_has_reason = false;
    };

    void pass_first_known(std::string_view piece, const KnownEvents& reader);
    KnownTexts room_for_texts() const {
        const size_t before = used();
        const size_t end = size_ < kMost ? size_ : kMost;
        return before < end ? KnownTexts(memory_ + before, end - before) : KnownTexts(nullptr, 0);
    }
    void keep_front(std::string_view front) {
        front_size_ = static_cast<uint16_t>(front.size());
        if (!front.empty()) {
            front.copy(front_, KnownEvents::kMaxFront);
        }
    }
    void read_events(std::string_view piece);
    void take_known(std::string_view* rest);
    void read(std::string_view data);
    void take(const JsonToken& token);
    void take_type(const JsonToken& token);
    void take_delta(const JsonToken& token);
    void take_object(const JsonToken& token);
    void give_up();
    void stop_if_long();
    void end_event(std::string_view rest);
    bool end_text(std::string_view type);
    void end_object(std::string_view type);
    void begin_value(std::string_view front);
    void add(std::string_view bytes);
    void keep_value(size_t before, size_t* section);
    size_t used() const { return items_ + parts_ + text_ + value_; }

    SseReader events_;
    JsonScanner scanner_;
    EventTemplate known_;  // an event that adds a delta
    EventDraft draft_;
    Event event_;
    uint64_t ended_ = 0;
    uint64_t content_index_ = 0;
    bool part_is_open_ = false;
    bool is_refusal_ = false;
    bool is_response_ = false;
    bool gave_up_ = false;
    bool adds_ = false;        // to the text
    bool agrees_ = false;      // the reader knows the same event
    bool is_between_ = false;  // no event is open, but for the front that is kept

    // One section behind the other, each of so many bytes.
    KnownTexts texts_{nullptr, 0};  // behind them
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

    // The front of an event that the reader takes for a known one. It has not been read here.
    uint16_t front_size_ = 0;
    char front_[KnownEvents::kMaxFront];
};

}  // namespace ai_limit
