#pragma once

// Finds where the events of a stream end: server-sent events, lines of JSON, the elements of a JSON
// array, and Amazon's messages. The stream comes in pieces cut anywhere.
//
// Between two events a stream can be ended and still be well-formed. A search for the end of an
// event costs much less than reading it, and bytes that hold no event's end of interest cost next
// to nothing: only the last line of them is looked at.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/answers/answer_kind.h"
#include "core/json/json_scan.h"
#include "core/streams/event_stream.h"

namespace ai_limit {

/** The structure of a stream. */
enum class StreamForm : uint8_t {
    kNone,       // no stream that can be ended between two events
    kSse,        // an event ends with a blank line
    kLines,      // an event is a line
    kDocuments,  // JSON documents one behind the other, with white space between them
    kArray,      // an event is an object in one JSON array. Other elements make it kNone
    kMessages    // Amazon's
};

/** Returns the form of a body of this kind, of which `front` are the first bytes. */
StreamForm stream_form(AnswerKind kind, std::string_view front);

/** The position within one stream. Trivially copyable. */
class EventEnds {
public:
    explicit EventEnds(StreamForm form = StreamForm::kNone);

    StreamForm form() const { return form_; }

    /**
     * Takes bytes from the front of `rest`, up to the end of the event that is open or begins
     * there. Returns how many: all of them if it does not end there. `ends` is set accordingly.
     */
    size_t take(std::string_view rest, bool* ends);

    /**
     * Takes whole events from the front of `rest`, as many as there are, and returns their size. 0
     * if there is none, or if the form does not show it at a glance.
     */
    size_t take_whole(std::string_view rest);

    /** Takes all of `rest`. The cost hardly depends on its size. */
    void take_all(std::string_view rest);

    /** The stream has server-sent events, and lines as most have. */
    bool is_plain() const { return is_plain_; }

    /**
     * Takes all of a piece. It ends between two server-sent events, or with so many bytes of the
     * front of one.
     */
    void take_known(std::string_view piece, size_t open) {
        if (!is_plain_ || !ends_plain(piece, open)) {
            take_all(piece);
            return;
        }
        position_ += piece.size();
        open_at_ = position_ - open;
        between_ = open == 0;
        line_is_blank_ = between_ || ends_in_blank_line(piece.substr(piece.size() - open));
        if (first_end_ == 0) {
            first_end_ = open_at_;
        }
    }

    /** No event is open: the stream can be ended here. True before the first byte. */
    bool is_between() const { return between_; }

    // Positions in the stream, from its start.

    /** Returns how many bytes have been taken. */
    uint64_t position() const { return position_; }

    /** The event that is open begins there; position() if none is. */
    uint64_t open_at() const { return between_ ? position_ : open_at_; }

    /** Returns where the first event ended; 0 if none has. */
    uint64_t first_end() const { return first_end_; }

private:
    size_t take_event(std::string_view rest, bool* ends);
    size_t take_line_event(std::string_view rest, bool* ends);
    size_t take_document(std::string_view rest, bool* ends);
    size_t take_element(std::string_view rest, bool* ends);
    size_t take_message(std::string_view rest, bool* ends);
    size_t find_line_end(std::string_view rest, size_t from);
    size_t last_end(std::string_view rest) const;
    void note_open_line(std::string_view rest);
    /** True if the line that is open at the end has nothing but the first half of a line end. */
    static bool ends_in_blank_line(std::string_view front) {
        if (front.back() == '\r') {
            front.remove_suffix(1);
        }
        return front.empty() || front.back() == '\n';
    }
    static bool ends_plain(std::string_view piece, size_t open) {
        const size_t end = piece.size() - open;
        return piece.size() >= open + 2 && piece[end - 1] == '\n' && piece[end - 2] == '\n';
    }
    bool take_all_plain(std::string_view rest);
    void note_end(uint64_t position);
    bool shows_ends() const { return form_ == StreamForm::kSse || form_ == StreamForm::kLines; }
    char line_end() const { return cr_only_ ? '\r' : '\n'; }

    StreamForm form_;
    uint64_t position_ = 0;
    uint64_t open_at_ = 0;
    uint64_t first_end_ = 0;
    bool between_ = true;
    bool line_is_blank_ = true;  // the bytes of the open line, or there are none
    bool cr_only_ = false;       // lines end with CR alone
    bool knows_lines_ = false;   // the first line has ended
    bool is_plain_ = false;      // server-sent events whose lines do not end with CR alone
    JsonScanner scanner_;
    EventStreamReader messages_;
};

}  // namespace ai_limit
