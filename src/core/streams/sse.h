#pragma once

// A stream of server-sent events, cut anywhere, taken apart where it lies (WHATWG HTML, 9.2).
//
// Only the `data` of each event is of interest here: `event:`, `id:`, `retry:` and comments are
// skipped. Nothing is copied and nothing is kept but where in a line the stream stands.
//
// Unlike a browser, the last event counts also where the stream ends without a blank line behind
// it: servers that stop there are common, and that event is the one that holds the usage.

#include <cstdint>
#include <string_view>

namespace ai_limit {

/** The next thing that SseReader finds. */
struct SseToken {
    enum Kind : uint8_t {
        kNothing,     // the piece is used up
        kData,        // more of the event's data: `text`
        kEndOfEvent,  // all of an event's data has been reported
        kNoEvent      // a blank line with no data before it, such as behind a comment
    };
    Kind kind;
    std::string_view text;  // within the piece, or a static "\n" between two `data` lines
};

/** The position within one stream. */
class SseReader {
public:
    /**
     * Takes the next token from the front of `rest`, which begins where the last call left off: in
     * the same piece or at the start of the following one. kNothing if `rest` holds no more; it
     * is empty then.
     * However a stream is cut, the texts of an event put together are the same. An event without
     * any `data` line is none.
     */
    SseToken next(std::string_view* rest);

    /**
     * The last that came is a blank line: an event begins with the next byte, unless that is a LF
     * which belongs to the same line end (skip_line_feed()). Not so at the start of a stream.
     */
    bool is_between_events() const { return between_events_; }

    /** Removes from the front of `rest` the second byte of a line end, where it stands there. */
    bool skip_line_feed(std::string_view* rest);

    /** Goes past an event, between two others, of which next() would find the end at its last byte
     * and nowhere before. */
    void skip_event(std::string_view event) { after_cr_ = event.back() == '\r'; }

    /**
     * Call this once, where the stream ends: true if an event is open, which ends here. It may be
     * cut in the middle of a line.
     */
    bool finish();

    /** Hands a piece's tokens to `sink.data(std::string_view)` and `sink.end_of_event()`. */
    template <typename Sink>
    void feed(std::string_view piece, Sink& sink) {
        for (;;) {
            const SseToken token = next(&piece);
            if (token.kind == SseToken::kData) {
                sink.data(token.text);
            } else if (token.kind == SseToken::kEndOfEvent) {
                sink.end_of_event();
            } else if (token.kind == SseToken::kNothing) {
                return;
            }
        }
    }

    /** finish() for a sink. */
    template <typename Sink>
    void finish(Sink& sink) {
        if (finish()) {
            sink.end_of_event();
        }
    }

private:
    enum class At : uint8_t {
        kByteOrderMark,  // `matched_` bytes of it
        kName,           // `matched_` bytes of "data:"
        kColon,          // behind "data:", where one space is left out
        kValue,
        kIgnored  // the rest of a line that is no data
    };

    SseToken take_text(std::string_view* rest);
    SseToken take_name(std::string_view* rest);
    SseToken take_line_end(std::string_view* rest);
    SseToken begin_data();
    bool match_byte_order_mark(char c);

    At at_ = At::kByteOrderMark;
    uint8_t matched_ = 0;
    bool after_cr_ = false;  // a LF that follows belongs to the same line end
    bool has_data_ = false;  // the event has a `data` line
    bool between_events_ = false;
};

}  // namespace ai_limit
