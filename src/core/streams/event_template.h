#pragma once

// Reads an event of a stream without parsing it, if it is like an earlier one.
//
// The events of a stream differ only in a text, and perhaps in a number and a random string. Once
// one has been parsed, it is kept with holes in the place of these. An event with the same bytes
// outside the holes is parsed in the same way, as long as each hole that was a string has only
// bytes that can stand between quotes, and each hole that was a number has only digits. Nothing of
// the result is therefore guessed: only the text and its length can be new.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/streams/sse.h"

namespace ai_limit {

/** A value that may differ between two events. */
enum class EventHole : uint8_t {
    kText,    // a string whose characters are counted
    kString,  // one that nobody asks for
    kDigits   // a number that nobody asks for
};

/** The holes of an event, noted while it is parsed. Trivially copyable. */
class EventDraft {
public:
    static constexpr size_t kMaxHoles = 3;

    /** An event begins at the front of `rest`. */
    void begin(std::string_view rest);

    /** The event is not like others. Notes made before the next begin() make no difference. */
    void give_up() { open_ = false; }

    bool is_open() const { return open_; }

    /**
     * Notes a whole value as JsonScanner reports it, in the order of the values in the event. A
     * value that cannot be a hole becomes none. Two texts make an event unlike others.
     */
    void note(EventHole kind, std::string_view text);

    /**
     * Notes bytes that are to be left out of such events, once. An event whose first hole stands
     * behind them is not kept.
     */
    void note_cut(std::string_view bytes);

private:
    friend class EventTemplate;

    struct Place {
        const char* at;
        size_t size;
        EventHole kind;
    };

    const char* begin_ = nullptr;
    const char* end_ = nullptr;  // of the piece in which the event begins
    Place places_[kMaxHoles];
    std::string_view cut_;
    uint8_t count_ = 0;
    bool open_ = false;
    bool has_text_ = false;
};

/** The positions, in known events, of the bytes that are to be left out, in ascending order. */
struct EventCuts {
    static constexpr size_t kMax = 32;

    bool is_full() const { return count == kMax; }

    size_t size = 0;  // of each
    size_t count = 0;
    const char* at[kMax];
};

/** The texts of known events as they stand between their quotes, one behind the other. */
class KnownTexts {
public:
    /** Puts them into so many bytes at `memory`, which outlives this. */
    KnownTexts(char* memory, size_t room) : memory_(memory), room_(room) {}

    /** Adds a text, of which the piece that it stands in ends at `end`. False if there is no room
     * for it and a byte more. */
    bool add(std::string_view text, const char* end) {
        constexpr size_t kMostWords = 16;  // most events have no longer text
        const size_t room = room_ - size_;
        if (text.size() <= kMostWords && room >= kMostWords &&
            end - text.data() >= static_cast<ptrdiff_t>(kMostWords)) {
            std::memcpy(memory_ + size_, text.data(), kMostWords);
        } else if (text.size() < room) {
            std::memcpy(memory_ + size_, text.data(), text.size());
        } else {
            return false;
        }
        size_ += text.size();
        return true;
    }

    /** Returns how many bytes they have. */
    size_t size() const { return size_; }

private:
    char* memory_;
    size_t room_;
    size_t size_ = 0;
};

class KnownEvents;

/**
 * The known events that one reader of a stream has found in a piece, for another reader that keeps
 * the same event.
 */
struct KnownRun {
    explicit KnownRun(const KnownEvents* kept) : other(kept) {}

    const KnownEvents* other;     // what that one keeps
    const char* begin = nullptr;  // of known events, one behind the other
    size_t size = 0;              // 0: none was found, or the other keeps another event
    EventCuts cuts;               // all in these events
};

/** The known events at the front of a piece. */
struct KnownFront {
    size_t size;  // of whole events that are known, one behind the other
    bool cut;     // the rest of the piece may be the front of one more
};

/** An event with holes. Trivially copyable. */
class EventTemplate {
public:
    /** Longer events, without what is in their holes, are not kept. Azure's have some 600 bytes. */
    static constexpr size_t kCapacity = 768;

    /**
     * Keeps the event that `draft` was begun with. It ends where `rest` begins, in the same piece.
     * Changes nothing if the event has no text or is too long. Returns true if it is kept.
     */
    bool learn(const EventDraft& draft, std::string_view rest);

    /**
     * Looks for such events at the front of `rest`, where one begins, and adds the characters of
     * the texts of whole ones to `text`. Nothing may stand between two of them, so a line feed that
     * belongs to the line end before ends the search. A full `cuts`, to which whole events add
     * theirs, ends it as well; nullptr if nobody asks for them.
     */
    KnownFront match(std::string_view rest, uint64_t* text, EventCuts* cuts = nullptr) const;

    /** The same, up to an event with which the texts would have more than `most` characters, or
     * more bytes than `texts` has room for. nullptr if nobody asks for them. */
    KnownFront match_some(std::string_view rest, uint64_t* text, uint64_t most,
                          KnownTexts* texts) const;

    /**
     * True if `piece` is one such event, and nothing else, whose text has at most `most` characters
     * and fits into `texts`, which may be nullptr. Adds these characters to `text` then.
     */
    bool match_one(std::string_view piece, uint64_t* text, uint64_t most, KnownTexts* texts) const;

    /**
     * True if `other` has kept the same event. Its cut is then known here as well: it is the same
     * in all events that match, so this holds until another event is kept here.
     */
    bool agree(const EventTemplate& other);

    /** True if `other` keeps the same event. */
    bool is_same(const EventTemplate& other) const;

private:
    struct Input;

    bool set_cut(const EventDraft& draft);
    template <bool has_cut, bool has_limit, bool has_texts>
    KnownFront match_each(std::string_view rest, uint64_t* text, EventCuts* cuts, uint64_t most,
                          KnownTexts* texts) const;
    bool take_front(Input* in) const;
    template <bool has_cut, bool has_texts>
    bool take_holes(Input* in, uint64_t* text) const;
    bool take_back(Input* in) const;

    bool agreed_ = false;
    uint8_t holes_ = 0;  // 0: there is no event
    EventHole kinds_[EventDraft::kMaxHoles];
    // of what stands before, between and behind them
    uint16_t sizes_[EventDraft::kMaxHoles + 1] = {};
    uint16_t back_ = 0;        // where in bytes_ stands what is behind them
    uint8_t cut_part_ = 0;     // the number of holes before the cut
    uint16_t cut_offset_ = 0;  // from the end of the last of these
    uint16_t cut_size_ = 0;
    // One part behind the other, but the first one last: behind an event the next one begins, and
    // both are compared at once.
    char bytes_[kCapacity];
};

/** The place in a stream from which known events are skipped (KnownEvents::mark()). */
struct KnownMark {
    KnownMark() {}  // NOLINT(modernize-use-equals-default, *-member-init): not all of `front`

    static constexpr size_t kMaxFront = 1024;

    SseReader events;
    uint16_t front_size = 0;
    char front[kMaxFront];
};

/**
 * Skips known events, also where they are cut: the front of one that a piece ends with is kept
 * until the next piece shows what it is. Trivially copyable.
 */
class KnownEvents {
public:
    /** A longer front is not kept. */
    static constexpr size_t kMaxFront = KnownMark::kMaxFront;

    /** See EventTemplate. */
    bool learn(const EventDraft& draft, std::string_view rest) {
        return template_.learn(draft, rest);
    }

    /**
     * Removes known events from the front of `rest` while `events` stands between two, and adds the
     * characters of their texts to `text`. It also removes a line feed that belongs to a line end
     * before an event, and the front of an event at the end of `rest`, which it keeps. Call it
     * again if it has filled `cuts`.
     */
    void skip(SseReader* events, std::string_view* rest, uint64_t* text, EventCuts* cuts = nullptr);

    /**
     * Skips known events whose texts have at most `most` characters and fit into `texts`, and goes
     * on with the event of which front() is the front, if it is one of them. Otherwise changes
     * nothing. `texts` may be nullptr.
     */
    void skip_some(SseReader* events, std::string_view* rest, uint64_t* text, uint64_t most,
                   KnownTexts* texts);

    /** Skips a piece that is one known event, as skip_some() does; false if it is anything else. */
    bool skip_one(SseReader* events, std::string_view piece, uint64_t* text, uint64_t most,
                  KnownTexts* texts) {
        const bool skips = front_size_ == 0 && events->is_between_events() &&
                           template_.match_one(piece, text, most, texts);
        if (skips) {
            events->skip_event(piece);
        }
        return skips;
    }

    /** Notes where `events` stands. */
    void mark(const SseReader& events, KnownMark* mark) const {
        mark->events = events;
        mark->front_size = front_size_;
        std::memcpy(mark->front, front_, front_size_);
    }

    /** Goes back over known events that have been skipped since. */
    void go_back(const KnownMark& mark, SseReader* events) {
        *events = mark.events;
        front_size_ = mark.front_size;
        std::memcpy(front_, mark.front, mark.front_size);
    }

    /** The event that is known. */
    const EventTemplate& event() const { return template_; }

    /**
     * Skips known events as skip() does, without the need for another call. The skipped events are
     * noted in `run`, if that has none yet and its other reader keeps the same event.
     */
    void skip_noting(SseReader* events, std::string_view* rest, uint64_t* text, KnownRun* run);

    /**
     * Returns the kept bytes, which lie in this object's memory. Until go_on() has found the end of
     * the event, `events` has not seen them.
     */
    std::string_view front() const { return {front_, front_size_}; }

    /**
     * Goes on with the event that has this front; `rest` is the next piece. If the event does not
     * go on like a known one, returns false and changes nothing: then read give_front() before
     * `rest`. The cuts point into the memory of front(), as if `rest` stood behind it there.
     */
    bool go_on(SseReader* events, std::string_view* rest, uint64_t* text,
               EventCuts* cuts = nullptr);

    /** Returns the front and no longer keeps it. It is valid until skip() is called. */
    std::string_view give_front();

private:
    template <typename Match, typename Full>
    void skip_each(SseReader* events, std::string_view* rest, const Match& match,
                   const Full& is_full);
    template <typename Match>
    bool go_on_each(SseReader* events, std::string_view* rest, const Match& match);

    EventTemplate template_;
    uint16_t front_size_ = 0;
    char front_[kMaxFront];
};

}  // namespace ai_limit
