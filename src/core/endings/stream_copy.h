#pragma once

// Follows a stream that may have to be ended before its time, and ends it.
//
// What the end needs stands in the first events of the stream and in those around the place where
// it ends. Copies of the first bytes and of the front of an open event are all that is kept of it,
// and both are read only if the stream is ended. A piece that ends with an event costs a few
// instructions.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/endings/event_ends.h"
#include "core/endings/passed_events.h"
#include "core/endings/stream_end.h"

namespace ai_limit {

/** The place where a stream ends before its time, and what its end reports. */
struct StreamCutPlace {
    std::string_view passed;   // of the last piece, what the client gets,
    std::string_view dropped;  // and the front of what it does not get; may be empty
    size_t continued;          // bytes of `passed` that belong to an event of an earlier piece
    TokenCounts used;
    bool reports_usage;          // see StreamEnding
    const PassedEvents* events;  // that the client gets; nullptr if nobody has followed them
};

/** Returns the room that the end of a stream needs to have all of its facts, but a longer response
 * than StreamCopy keeps. */
size_t room_for_end(const StreamCutPlace& place);

/** One stream. Trivially copyable. */
class StreamCopy {
public:
    static constexpr size_t kMaxHead = 8192;
    static constexpr size_t kMaxOpen = 4096;

    /** The memory that write_end() needs beside that for the text. */
    static constexpr size_t kScratch = 4 * kMaxOpen;

    /** Leaves the memory for copies as it is. It would be long to fill with zeros. */
    StreamCopy() {}  // NOLINT(modernize-use-equals-default, *-member-init)

    /** The kind of the body is known now. `front` are its first bytes. Call this once. */
    void begin(AnswerKind kind, std::string_view front);

    bool has_begun() const { return has_begun_; }

    /** The position within the stream: each piece is taken by this before it is passed. */
    EventEnds& ends() { return ends_; }
    const EventEnds& ends() const { return ends_; }

    /** The client gets a piece, all of which has been taken. */
    void pass(std::string_view piece);

    /** Takes and passes a piece of server-sent events; see EventEnds::take_known(). */
    void pass_known(std::string_view piece, size_t open) {
        ends_.take_known(piece, open);
        if (head_size_ < kMaxHead || open > 0 || open_size_ > 0) {
            pass(piece);
        }
    }

    /**
     * Writes what ends the stream behind `place.passed`. All of what is passed and dropped has been
     * taken. `scratch` has room for kScratch bytes, and `out` for kMaxStreamEnd at least. If that
     * is too small for an end with all facts, writes a short one.
     */
    bool write_end(const StreamCutPlace& place, char* scratch, TextWriter* out) const;

private:
    class Documents;

    void add_head(std::string_view piece);
    void read(const StreamCutPlace& place, char* scratch, StreamFacts* facts) const;

    EventEnds ends_;
    uint16_t head_size_ = 0;
    uint16_t open_size_ = 0;
    bool open_is_whole_ = true;  // no byte of the open event is missing
    bool has_begun_ = false;
    char last_ = '\0';  // kArray: the last byte that passed and is no white space
    char head_[kMaxHead];
    char open_[kMaxOpen];
};

}  // namespace ai_limit
