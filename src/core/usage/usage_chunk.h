#pragma once

// Removes from an OpenAI-style stream what the client did not ask for. If `ai_limit_include_usage`
// has asked for the usage, one event at the end reports it, and servers add `"usage":null` to the
// others.
//
// An event with nothing but its usage is removed. From any other event, only the member `usage` is
// removed, and every other byte stays. The client thus keeps an error, timings or citations in the
// last event, and SDKs that want an object or nothing do not see null. A usage with a cost stays,
// since servers that report costs do so without being asked.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/streams/event_template.h"
#include "core/streams/sse.h"
#include "core/usage/usage_member.h"

namespace ai_limit {

/** The position within one stream, and the event that is not whole yet. Trivially copyable. */
class UsageChunkFilter {
public:
    /** A longer event goes on before it is whole, and is never removed. */
    static constexpr size_t kMaxKept = 8192;

    /**
     * Hands what is to go on to `sink.pass(std::string_view)`: text of the piece, or text in this
     * object's own memory, which is good until pass() returns. An event goes on as soon as it is
     * whole, and so does what is none, such as a comment with a blank line behind it.
     * `found` is what another reader of the stream has noted of this piece for known(): it saves a
     * second look. It may be nullptr.
     */
    template <typename Sink>
    void feed(std::string_view piece, Sink& sink, const KnownRun* found = nullptr);

    /** The event that the filter keeps. */
    const KnownEvents& known() const { return known_; }

    /** Call this once, where the stream ends: an event that is open ends here. */
    template <typename Sink>
    void finish(Sink& sink);

private:
    /**
     * The number of bytes of a long event that wait for those behind them: a key, a colon and some
     * spaces.
     */
    static constexpr uint64_t kTail = 64;

    /** A piece while it is read. */
    struct Piece {
        const char* from;   // what has not been handed on begins here
        const char* event;  // an event begins here, or goes on in this piece
    };

    template <typename Sink>
    static void pass(const char* from, const char* to, Sink& sink);
    template <typename Sink>
    void pass_kept(uint64_t from, uint64_t to, Sink& sink);
    template <typename Sink>
    void go_on(std::string_view* rest, Piece* piece, Sink& sink);
    template <typename Sink>
    void skip_known(std::string_view* rest, Piece* piece, const KnownRun* found, Sink& sink);
    template <typename Sink>
    static void leave_out(const EventCuts& cuts, Piece* piece, Sink& sink);
    template <typename Sink>
    void end_event(const char* end, Piece* piece, Sink& sink);
    template <typename Sink>
    void leave_out(const EventRange& range, Piece* piece, Sink& sink);
    template <typename Sink>
    void pass_part(const char* end, Piece* piece, Sink& sink);
    template <typename Sink>
    void pass_but(uint64_t last, const char* end, Piece* piece, Sink& sink);

    void read_front();
    EventBytes bytes_until(const char* end, const Piece& piece) const;
    uint64_t kept_end() const { return kept_at_ + kept_size_; }
    bool find_cut(const EventBytes& bytes, const Piece& piece, EventRange* cut);
    bool keep(const char* from, const char* to);
    void begin_event();

    SseReader events_;
    EventUsage usage_;      // of the event that is being read
    EventDraft draft_;      // of the same, if it began in this piece
    KnownEvents known_;     // those that only have a usage that is null, or none
    bool long_ = false;     // the event is too long to be kept
    bool edited_ = false;   // its usage has been left out already
    bool removed_ = false;  // the event before was
    uint16_t kept_size_ = 0;
    uint64_t kept_at_ = 0;  // bytes of the event that have gone on
    char kept_[kMaxKept];
};

template <typename Sink>
void UsageChunkFilter::feed(std::string_view piece, Sink& sink, const KnownRun* found) {
    std::string_view rest = piece;
    Piece here{piece.data(), piece.data()};
    draft_.give_up();
    if (!known_.front().empty()) {
        go_on(&rest, &here, sink);
    }
    while (!rest.empty()) {
        if (events_.is_between_events()) {
            if (events_.skip_line_feed(&rest) && removed_) {
                here.from = rest.data();
            }
            skip_known(&rest, &here, found, sink);
            here.event = rest.data();
            if (rest.empty()) {
                break;
            }
            draft_.begin(rest);
        }
        const SseToken token = events_.next(&rest);
        if (token.kind == SseToken::kNothing) {
            break;
        }
        if (token.kind == SseToken::kData) {
            // Between two lines the text is a line feed that lies elsewhere.
            const auto at = static_cast<uint64_t>(rest.data() - here.event);
            usage_.read(token.text, kept_end() + at - token.text.size(), &draft_);
            continue;
        }
        end_event(rest.data(), &here, sink);
        if (!removed_) {
            known_.learn(draft_, rest);
        }
    }
    // The front that has been kept is not seen yet; it may have begun in an earlier piece.
    const char* end = piece.data() + (piece.size() - std::min(piece.size(), known_.front().size()));
    if (!events_.is_between_events()) {
        pass(here.from, here.event, sink);
        here.from = here.event;
        if (!long_ && keep(here.event, end)) {
            return;
        }
        long_ = true;
        pass_part(end, &here, sink);
    }
    pass(here.from, end, sink);
}

/** With an event whose front has been kept, and goes on in this piece. */
template <typename Sink>
void UsageChunkFilter::go_on(std::string_view* rest, Piece* piece, Sink& sink) {
    const std::string_view front = known_.front();
    const char* begin = piece->from;
    uint64_t text = 0;
    EventCuts cuts;
    if (!known_.go_on(&events_, rest, &text, &cuts)) {
        read_front();
        return;
    }
    if (!known_.front().empty()) {
        return;
    }
    removed_ = false;
    size_t from = 0;
    const auto pass_until = [&](size_t to) {
        if (from < front.size()) {
            pass(front.data() + from, front.data() + std::min(to, front.size()), sink);
        }
        if (to > front.size()) {
            pass(begin + (std::max(from, front.size()) - front.size()), begin + (to - front.size()),
                 sink);
        }
        from = to;
    };
    for (size_t i = 0; i < cuts.count; ++i) {
        pass_until(static_cast<size_t>(cuts.at[i] - front.data()));
        from += cuts.size;
    }
    if (from < front.size()) {
        pass_until(front.size());
    }
    piece->from = begin + (from - front.size());
}

/** Passes what stands before and between the cuts. */
template <typename Sink>
void UsageChunkFilter::leave_out(const EventCuts& cuts, Piece* piece, Sink& sink) {
    for (size_t i = 0; i < cuts.count; ++i) {
        pass(piece->from, cuts.at[i], sink);
        piece->from = cuts.at[i] + cuts.size;
    }
}

template <typename Sink>
void UsageChunkFilter::skip_known(std::string_view* rest, Piece* piece, const KnownRun* found,
                                  Sink& sink) {
    const char* begin = rest->data();
    if (found != nullptr && found->size > 0 && found->begin == begin) {
        events_.skip_event({begin, found->size});
        rest->remove_prefix(found->size);
        leave_out(found->cuts, piece, sink);
    }
    for (bool goes_on = !rest->empty(); goes_on;) {
        EventCuts cuts;
        uint64_t text = 0;
        known_.skip(&events_, rest, &text, &cuts);
        leave_out(cuts, piece, sink);
        goes_on = cuts.is_full();
    }
    removed_ = removed_ && rest->data() == begin;
}

/** Ends an event of which this piece has what stands before `end`. */
template <typename Sink>
void UsageChunkFilter::end_event(const char* end, Piece* piece, Sink& sink) {
    const EventBytes bytes = bytes_until(end, *piece);
    EventRange cut;
    long_ = long_ || bytes.end() > kMaxKept;
    removed_ = !long_ && usage_.is_alone(bytes);
    if (removed_) {
        pass(piece->from, piece->event, sink);
        piece->from = end;
    } else if (find_cut(bytes, *piece, &cut)) {
        leave_out(cut, piece, sink);
    } else {
        pass_kept(kept_at_, kept_end(), sink);
    }
    begin_event();
}

/** Passes what is at hand of an event, but for a range, as far as the range ends. */
template <typename Sink>
void UsageChunkFilter::leave_out(const EventRange& range, Piece* piece, Sink& sink) {
    const uint64_t kept_end = this->kept_end();
    pass_kept(kept_at_, std::min(range.begin, kept_end), sink);
    pass_kept(std::max(range.end, kept_at_), kept_end, sink);
    if (range.end > kept_end) {
        pass(piece->from, piece->event + (std::max(range.begin, kept_end) - kept_end), sink);
        piece->from = piece->event + (range.end - kept_end);
    }
    kept_at_ = kept_end;
    kept_size_ = 0;
}

/** Passes the known part of an event that is too long to be kept, before it ends. */
template <typename Sink>
void UsageChunkFilter::pass_part(const char* end, Piece* piece, Sink& sink) {
    const EventBytes bytes = bytes_until(end, *piece);
    EventRange cut;
    if (find_cut(bytes, *piece, &cut)) {
        leave_out(cut, piece, sink);
        kept_at_ += static_cast<uint64_t>(piece->from - piece->event);
        piece->event = piece->from;
        edited_ = true;
    }
    const uint64_t all = kept_end() + static_cast<uint64_t>(end - piece->event);
    uint64_t last = all - std::min(all - kept_at_, kTail);
    if (!edited_ && usage_.is_open()) {
        uint64_t begin = 0;
        if (usage_.find_begin(bytes, &begin)) {
            last = begin;
        } else {
            edited_ = true;  // it began in what has gone on already
        }
    }
    pass_but(all - last <= kMaxKept ? last : all, end, piece, sink);
}

/** Holds what stands behind the position `last` in the event, and passes what stands before it. */
template <typename Sink>
void UsageChunkFilter::pass_but(uint64_t last, const char* end, Piece* piece, Sink& sink) {
    const uint64_t kept_end = this->kept_end();
    if (last < kept_end) {
        pass_kept(kept_at_, last, sink);
        kept_size_ = static_cast<uint16_t>(kept_end - last);
        std::copy(kept_ + (last - kept_at_), kept_ + (kept_end - kept_at_), kept_);
        kept_at_ = last;
        keep(piece->event, end);
    } else {
        const char* tail = piece->event + (last - kept_end);
        pass_kept(kept_at_, kept_end, sink);
        pass(piece->from, tail, sink);
        kept_at_ = last;
        kept_size_ = 0;
        keep(tail, end);
    }
    piece->from = end;
}

template <typename Sink>
void UsageChunkFilter::finish(Sink& sink) {
    constexpr const char* kNoBytes = "";
    Piece here{kNoBytes, kNoBytes};
    read_front();
    events_.finish();
    end_event(kNoBytes, &here, sink);
}

template <typename Sink>
void UsageChunkFilter::pass(const char* from, const char* to, Sink& sink) {
    if (from != to) {
        sink.pass(std::string_view(from, static_cast<size_t>(to - from)));
    }
}

/** Passes kept bytes, by their positions in the event. */
template <typename Sink>
void UsageChunkFilter::pass_kept(uint64_t from, uint64_t to, Sink& sink) {
    if (from < to) {
        pass(kept_ + (from - kept_at_), kept_ + (to - kept_at_), sink);
    }
}

}  // namespace ai_limit
