#pragma once

// Finds the place where a stream is to end because its text has reached what it may have.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/endings/event_ends.h"

namespace ai_limit {

/** The place within a piece where a stream is to end. */
struct StreamCut {
    bool found = false;
    size_t passed = 0;     // bytes that the client gets,
    size_t continued = 0;  // of these, those that belong to an event of an earlier piece
    size_t dropped = 0;    // bytes behind them, up to the end of the event that is too much
    uint64_t text = 0;     // characters of text in all that the client gets
};

/** One JSON document is no stream before a second one begins in `rest`. */
inline bool is_stream(const EventEnds& ends, std::string_view rest) {
    return ends.form() != StreamForm::kDocuments ||
           (ends.first_end() != 0 && rest.find_first_not_of(" \t\r\n") != rest.npos);
}

/**
 * Reads a piece of a stream whose kind is known. The stream may end before an event that has more
 * text than is allowed or, if the client has had a part of that event already, behind it.
 *
 * `reader` has
 *   uint64_t allowed()              characters of text that may still come
 *   uint64_t text()                 all characters that have come
 *   void feed(std::string_view)     reads the next bytes
 *   bool must_end()                 false if more is allowed after all. Called when the text is
 * more than was allowed
 *
 * Bytes that have no more text than is allowed are read together. `must_end` keeps, from one piece
 * to the next, that the stream is to end behind the event that is open.
 */
template <typename Reader>
StreamCut read_piece(std::string_view piece, EventEnds* ends, bool* must_end, Reader* reader) {
    StreamCut cut;
    size_t at = 0;
    while (at < piece.size()) {
        const std::string_view rest = piece.substr(at);
        const uint64_t allowed = *must_end ? 0 : reader->allowed();
        const uint64_t before = reader->text();
        if (rest.size() <= allowed) {
            ends->take_all(rest);
            reader->feed(rest);
            return cut;
        }
        const bool was_between = ends->is_between();
        bool may_end_before = was_between && is_stream(*ends, rest);
        if (*must_end && may_end_before) {
            cut.found = true;
            cut.passed = at;
            cut.text = before;
            return cut;
        }
        size_t size =
            was_between ? ends->take_whole(rest.substr(0, static_cast<size_t>(allowed))) : 0;
        if (size > 0) {
            reader->feed(rest.substr(0, size));
            at += size;
            continue;
        }
        bool is_whole = false;
        size = ends->take(rest, &is_whole);
        reader->feed(rest.substr(0, size));
        if (at == 0 && !was_between) {
            cut.continued = size;
        }
        if (*must_end || (reader->text() - before > allowed && reader->must_end())) {
            *must_end = true;
            // The bytes that have just been taken may show that this is no stream.
            may_end_before = may_end_before && ends->form() != StreamForm::kNone;
            if (may_end_before || (is_whole && is_stream(*ends, {}))) {
                cut.found = true;
                cut.passed = may_end_before ? at : at + size;
                cut.dropped = may_end_before ? size : 0;
                cut.text = may_end_before ? before : reader->text();
                return cut;
            }
        }
        at += size;
    }
    return cut;
}

/**
 * Reads a piece of a stream that may have more text than is allowed, and whose first `known` bytes
 * UsageReader::feed_known() has read. `read_rest` reads what follows, if anything does, and returns
 * where the stream is to end in it.
 */
template <typename ReadRest>
StreamCut read_behind_known(std::string_view piece, size_t known, EventEnds* ends,
                            const ReadRest& read_rest) {
    EventEnds before = *ends;
    ends->take_all(piece.substr(0, known));
    if (known == piece.size()) {
        return {};
    }
    StreamCut cut = read_rest(piece.substr(known));
    if (cut.found && known > 0) {
        bool is_whole = false;
        cut.continued = before.is_between() ? 0 : before.take(piece, &is_whole);
        cut.passed += known;
    }
    return cut;
}

}  // namespace ai_limit
