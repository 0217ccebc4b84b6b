#pragma once

// Reads an event of a stream without parsing it, where it is like an earlier one.
//
// The events of a stream are alike but for a text, and perhaps a number and a random string. Once
// one has been parsed, it is kept with holes where these stood. Bytes that are the same, but for
// what stands in the holes, are parsed in the same way as long as a hole that was a string holds
// what can stand between quotes, and one that was a number nothing but digits. So nothing of the
// result is guessed: all that can be new is the text and its length.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/sse.h"

namespace ai_limit {

/** What may differ between two events. */
enum class EventHole : uint8_t {
    kText,    // a string whose length is wanted
    kString,  // one that nobody asks for
    kDigits   // a number that nobody asks for
};

/** The holes of an event, noted while it is parsed. Trivially copyable. */
class EventDraft {
public:
    static constexpr size_t kMaxHoles = 3;

    /** An event begins at the front of `rest`. */
    void begin(std::string_view rest);

    /** It is not like others. What is noted makes no difference until begin(). */
    void give_up() { open_ = false; }

    bool is_open() const { return open_; }

    /**
     * Notes a value as JsonScanner reports it, whole; in the order in which they stand. What cannot
     * be a hole becomes none. Two texts make an event unlike others.
     */
    void note(EventHole kind, std::string_view text);

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
    uint8_t count_ = 0;
    bool open_ = false;
    bool has_text_ = false;
};

/** An event with holes. Trivially copyable. */
class EventTemplate {
public:
    /** Longer events, without what is in their holes, are not kept. Azure's have some 600 bytes. */
    static constexpr size_t kCapacity = 768;

    /**
     * Keeps the event that `draft` was begun with; it ends where `rest` begins, in the same piece.
     * Without a text, or where it is too long, nothing is changed; returns whether it is kept.
     */
    bool learn(const EventDraft& draft, std::string_view rest);

    /**
     * Returns how many bytes at the front of `rest` are such an event, 0 where they are none, and
     * adds the size of its text, as UTF-8 with escapes decoded, to `text`.
     */
    size_t match(std::string_view rest, uint64_t* text) const;

private:
    uint8_t holes_ = 0;  // 0: there is no event
    EventHole kinds_[EventDraft::kMaxHoles];
    uint16_t sizes_[EventDraft::kMaxHoles + 1];  // of what stands before, between and behind them
    char bytes_[kCapacity];                      // all of it, one behind the other
};

/**
 * Removes such events from the front of `rest`, where `events` stands between two of them, and adds
 * the sizes of their texts to `text`. Returns whether there were some. A line end that is begun is
 * removed as well.
 */
bool skip_known_events(const EventTemplate& known, SseReader* events, std::string_view* rest,
                       uint64_t* text);

}  // namespace ai_limit
