#pragma once

// Takes out of an OpenAI-style stream the chunk that the client did not ask for: where
// `ai_limit_include_usage` has asked for the usage, one event at the end has it and no choices.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/event_template.h"
#include "core/json_scan.h"
#include "core/sse.h"

namespace ai_limit {

/** The position within one stream, and the event that is not whole yet. Trivially copyable. */
class UsageChunkFilter {
public:
    /** A longer event passes as it is, also where it comes in one piece. */
    static constexpr size_t kMaxHeld = 8192;

    UsageChunkFilter();

    /**
     * Hands what is to go on to `sink.pass(std::string_view)`: text of the piece, or text in this
     * object's own memory, which is good until the next call. An event goes on as soon as it is
     * whole, and so does what is none, such as a comment with a blank line behind it.
     */
    template <typename Sink>
    void feed(std::string_view piece, Sink& sink);

    /** Call this once, where the stream ends: an event that is open ends here. */
    template <typename Sink>
    void finish(Sink& sink);

private:
    template <typename Sink>
    static void pass(const char* from, const char* to, Sink& sink);
    template <typename Sink>
    void pass_held(Sink& sink);

    template <typename Sink>
    void go_on(std::string_view* rest, Sink& sink);
    void read_front();
    void read(std::string_view data);
    void take(const JsonToken& token);
    void note(const JsonToken& token);
    bool end_event(size_t size);
    bool hold(const char* from, const char* to);

    SseReader events_;
    JsonScanner scanner_;
    EventDraft draft_;          // of the event that is being read, if it began in this piece
    KnownEvents known_;         // those that are not to be taken out
    bool is_array_ = false;     // `choices`
    bool has_choices_ = false;  // it has elements
    bool has_usage_ = false;    // `usage` is an object
    bool passing_ = false;      // the event is too long: it goes on as it comes
    bool taken_out_ = false;    // the event before was
    uint16_t held_size_ = 0;
    char held_[kMaxHeld];
};

template <typename Sink>
void UsageChunkFilter::feed(std::string_view piece, Sink& sink) {
    std::string_view rest = piece;
    draft_.give_up();
    if (!known_.front().empty()) {
        go_on(&rest, sink);
    }
    const char* from = piece.data();   // of what has not been handed on
    const char* event = piece.data();  // where it begins, or goes on in this piece
    while (!rest.empty()) {
        if (events_.is_between_events()) {
            if (events_.skip_line_feed(&rest) && taken_out_) {
                from = rest.data();
            }
            event = rest.data();
            uint64_t text = 0;
            known_.skip(&events_, &rest, &text);
            taken_out_ = taken_out_ && rest.data() == event;
            event = rest.data();
            draft_.begin(rest);
        }
        const SseToken token = events_.next(&rest);
        if (token.kind == SseToken::kNothing) {
            break;
        }
        if (token.kind == SseToken::kData) {
            read(token.text);
            continue;
        }
        taken_out_ = end_event(static_cast<size_t>(rest.data() - event));
        if (taken_out_) {
            pass(from, event, sink);
            from = rest.data();
            held_size_ = 0;
        } else {
            known_.learn(draft_, rest);
        }
        pass_held(sink);
    }
    // The front that has been kept is not seen yet; it may have begun in an earlier piece.
    const char* end = piece.data() + (piece.size() - std::min(piece.size(), known_.front().size()));
    if (!events_.is_between_events() && !passing_) {
        pass(from, event, sink);
        from = event;
        if (hold(event, end)) {
            return;
        }
        pass_held(sink);
        passing_ = true;
    }
    pass(from, end, sink);
}

/** With an event whose front has been kept, and goes on in this piece. */
template <typename Sink>
void UsageChunkFilter::go_on(std::string_view* rest, Sink& sink) {
    const std::string_view front = known_.front();
    uint64_t text = 0;
    if (!known_.go_on(&events_, rest, &text)) {
        read_front();
    } else if (known_.front().empty()) {
        sink.pass(front);
        taken_out_ = false;
    }
}

template <typename Sink>
void UsageChunkFilter::finish(Sink& sink) {
    read_front();
    events_.finish();
    held_size_ = end_event(0) ? 0 : held_size_;
    pass_held(sink);
}

template <typename Sink>
void UsageChunkFilter::pass(const char* from, const char* to, Sink& sink) {
    if (from != to) {
        sink.pass(std::string_view(from, static_cast<size_t>(to - from)));
    }
}

template <typename Sink>
void UsageChunkFilter::pass_held(Sink& sink) {
    pass(held_, held_ + held_size_, sink);
    held_size_ = 0;
}

}  // namespace ai_limit
