#pragma once

// What an answer of an AI API used, read from its headers and from its body as it passes.
//
// The providers' names stand in answer_paths.cpp. They match by their exact paths, so nothing that
// a model writes into its text or into a tool's arguments is taken for usage. Nothing of the body
// is kept, but for one event, and the front of one that is cut: those that follow need no parsing
// where they are like it.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/answer_kind.h"
#include "core/answer_paths.h"
#include "core/base64.h"
#include "core/event_stream.h"
#include "core/event_template.h"
#include "core/json_scan.h"
#include "core/json_text.h"
#include "core/json_text_size.h"
#include "core/sse.h"
#include "core/token_counts.h"
#include "core/usage_counts.h"
#include "core/usage_paths.h"

namespace ai_limit {

/** One answer. Trivially copyable. */
class UsageReader {
public:
    /**
     * `custom` outlives the reader; only its paths count then, and no header. nullptr: those of all
     * providers do.
     */
    UsageReader(AnswerKind kind, const UsagePaths* custom);

    /** One of the answer's headers, whichever it is, in any case. */
    void header(std::string_view name, std::string_view value);

    /** The next piece of the body, with no content coding. */
    void feed(std::string_view piece);

    /** The body has ended, and entirely: for one that was cut short, call stop(). */
    void finish();

    /** The body goes on no more. Before, what is told may leave out an event that is not whole. */
    void stop();

    /** Something has been told of what was used. Of a stream that goes on, it may be the input
     * alone. */
    bool has_usage() const { return counts_.has_any(); }

    /**
     * What was told of a stream that goes on, or was cut short, is what it used in all: it came in
     * a piece of its own, and no text came behind it. Or a header told it.
     */
    bool has_final_usage() const {
        return has_usage() && (told_by_header_ || told_at_ == text_bytes());
    }

    /** What was used, as far as it has been told; zeros where nothing was. */
    TokenCounts usage() const { return counts_.sum(); }

    /**
     * Bytes of text that the model wrote, as UTF-8: content, reasoning, refusals and the arguments
     * of tools; these as they stand where they are no text but an object. What a stream repeats at
     * its end counts once.
     */
    uint64_t text_bytes() const;

    /**
     * The body is not what its type says, or (only after finish()) is cut short. What could be read
     * counts nevertheless. An empty body is not malformed.
     */
    bool malformed() const { return malformed_; }

private:
    using Counter = uint64_t UsageReader::*;

    void feed_events(std::string_view piece);
    bool read_event(std::string_view* rest);
    void end_event(std::string_view rest);
    void feed_lines(std::string_view piece);
    void feed_messages(std::string_view piece);
    void read_chunk(std::string_view payload);
    void end_message();
    void read_document(std::string_view text);
    void end_document();
    bool is_document_whole() const;
    void take(const JsonToken& token, uint64_t end);
    void take_count(const JsonToken& token);
    void take_text(const JsonToken& token, Counter counter);
    void take_arguments(const JsonToken& token, uint64_t end);
    void take_type(const JsonToken& token);
    void take_ignored(const JsonToken& token);
    bool is_sound() const;

    static constexpr size_t kMaxType = 32;

    // the document that is being read
    JsonScanner scanner_;
    uint64_t offset_ = 0;        // of its bytes so far
    uint64_t arguments_at_ = 0;  // where an object with the arguments of a tool begins
    uint64_t delta_ = 0;         // bytes of text, unless its type says otherwise
    JsonTextSize text_size_;
    JsonText<kMaxType> type_;
    bool is_end_mark_ = true;  // as far as it has been read

    // the body around it
    AnswerKind kind_;
    bool malformed_ = false;
    bool automatic_;
    SseReader events_;
    EventDraft draft_;   // of the event that is being read, if it began in this piece
    KnownEvents known_;  // those that do nothing but add to a text:
    Counter draft_text_ = &UsageReader::text_;
    Counter known_text_ = &UsageReader::text_;
    EventStreamReader messages_;
    JsonScanner payload_;  // of a message that has a document in base64
    Base64Decoder base64_;

    UsageCounts counts_;
    bool told_by_header_ = false;
    bool told_here_ = false;         // a count, in this document
    uint64_t told_at_ = UINT64_MAX;  // bytes of text when counts came without any
    uint64_t text_before_ = 0;       // bytes of text before this document
    uint64_t text_ = 0;
    uint64_t reasoning_ = 0;
    uint64_t reasoning_content_ = 0;
};

}  // namespace ai_limit
