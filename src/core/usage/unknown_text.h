#pragma once

// The text of a stream whose events no provider's table knows.

#include <cstdint>
#include <string_view>

#include "core/json/json_characters.h"
#include "core/json/json_scan.h"

namespace ai_limit {

/**
 * Counts the characters of all strings in the JSON documents of a stream, one after another. It
 * leaves out those that known APIs write around an empty text: ids, roles, types, the model,
 * filters, errors, and the parts of the request that the Responses API repeats. A stream of a known
 * shape without text therefore counts as none. Trivially copyable.
 */
class UnknownText {
public:
    UnknownText();

    /** The next piece of the document. */
    void feed(std::string_view piece);

    /** `counts`: its strings are no part of another count. */
    void end_document(bool counts);

    /** Characters in the documents that have ended. */
    uint64_t ended() const { return ended_; }

    /** Those in the document that is being read. */
    uint64_t here() const { return here_; }

private:
    void take(const JsonToken& token);

    JsonScanner scanner_;
    JsonCharacters characters_;
    uint64_t ended_ = 0;
    uint64_t here_ = 0;

    // How many containers are open whose strings do not count. The scanner reports only those that
    // a path names, so there are never more than a path has keys, however deep a document is.
    uint8_t left_out_ = 0;
    static_assert(kMaxJsonPathDepth <= UINT8_MAX);
};

}  // namespace ai_limit
