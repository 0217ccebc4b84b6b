#pragma once

// Finds the usage in an event of an OpenAI-style stream, and says if the event has nothing else.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/json/json_scan.h"
#include "core/streams/event_template.h"

namespace ai_limit {

/** The bytes of an event that are at hand: some that were kept, and those behind them in a piece.
 */
struct EventBytes {
    uint64_t begin;  // how many bytes of the event come before
    std::string_view kept;
    std::string_view more;

    uint64_t end() const { return begin + kept.size() + more.size(); }

    /** The byte at a position in the event, which lies between begin and end(). */
    char operator[](uint64_t at) const {
        const uint64_t i = at - begin;
        return i < kept.size() ? kept[i] : more[i - kept.size()];
    }
};

/** A stretch of an event, by positions in it. */
struct EventRange {
    uint64_t begin;
    uint64_t end;
};

/** The content of one event, as far as it has been read. Trivially copyable. */
class EventUsage {
public:
    EventUsage();

    /** Back to the start, for another event. */
    void reset();

    /**
     * Reads more of the event's data, which stands at `at` in the event. Values that may differ
     * between similar events are noted in `draft`.
     */
    void read(std::string_view data, uint64_t at, EventDraft* draft);

    /** The data is one document. */
    bool is_complete() const { return scanner_.is_complete(); }

    /** The usage is an object that has not ended. */
    bool is_open() const { return usage_ == Usage::kOpen; }

    /** The usage is null. */
    bool is_null() const { return usage_ == Usage::kNull; }

    /**
     * Finds the usage with its key and its comma, if it is null or an object without a cost.
     * Returns false if there is none, if it must stay, or if its key is written with escapes or on
     * more than one line, as no server does.
     */
    bool find_member(const EventBytes& bytes, EventRange* member) const;

    /** Finds where an open usage, with its key and its comma, begins. */
    bool find_begin(const EventBytes& bytes, uint64_t* begin) const;

    /**
     * The usage is an object without a cost and all that the event has: `choices` is empty, and
     * so is what else it has besides the names and numbers that each event repeats. `bytes` is the
     * whole event.
     */
    bool is_alone(const EventBytes& bytes) const;

private:
    enum class Usage : uint8_t {
        kNone,
        kNull,
        kOpen,
        kObject,
        kOther  // it is no object, or there are two
    };

    void take(const JsonToken& token, uint64_t end, EventDraft* draft);
    void take_usage(const JsonToken& token, uint64_t end);

    JsonScanner scanner_;
    uint64_t value_begin_;  // of the usage
    uint64_t value_end_;
    Usage usage_;
    bool has_cost_;
    bool is_array_;     // `choices`
    bool has_choices_;  // it has elements
};

}  // namespace ai_limit
