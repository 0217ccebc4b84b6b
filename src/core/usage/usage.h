#pragma once

// Reads the usage of an answer of an AI API, from its headers and from its body as it passes.
//
// The providers' names stand in answer_paths.cpp. They match by their exact paths, so nothing that
// a model writes into its text or into a tool's arguments is taken for usage. Only the model's
// name, one event, and the front of one that is cut are kept of the body: the following events need
// no parsing if they are like the kept one. answer_cost.h decides what the request costs.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/answers/answer_content.h"
#include "core/answers/answer_kind.h"
#include "core/answers/usage_paths.h"
#include "core/counts/usage_counts.h"
#include "core/json/json_scan.h"
#include "core/streams/event_stream.h"
#include "core/streams/event_template.h"
#include "core/streams/sse.h"
#include "core/usage/unknown_text.h"
#include "core/words/base64.h"

namespace ai_limit {

/** One answer. Trivially copyable. */
class UsageReader {
public:
    /**
     * `hint` is the kind that the Content-Type names; the first bytes of the body decide. `custom`
     * outlives the reader. Counts at its paths go before those at the providers' paths. It may be
     * nullptr.
     */
    UsageReader(AnswerKind hint, const UsagePaths* custom);

    /** One of the answer's headers, whichever it is, in any case. */
    void header(std::string_view name, std::string_view value);

    /** The next piece of the body, with no content coding. */
    void feed(std::string_view piece) { feed(piece, nullptr); }

    /**
     * Reads the next piece of the body as well. Known events that another reader of the stream
     * would look for are noted in `run`, which is made anew for each piece; nullptr if there is no
     * other reader.
     */
    void feed(std::string_view piece, KnownRun* run) {
        kind_is_known_ ? read_piece(piece, run) : find_kind(piece, run);
    }

    /**
     * Reads the front of a piece of server-sent events, as long as they need no parsing, have at
     * most `most` characters of text and fit into `texts`, which may be nullptr. Returns its size;
     * 0 for another body. The rest follows.
     */
    size_t feed_known(std::string_view piece, uint64_t most, KnownTexts* texts);

    /** The place from which feed_known() reads on. */
    struct Mark {
        KnownMark known;
        uint64_t text;
    };
    void mark(Mark* mark) const {
        known_.mark(events_, &mark->known);
        mark->text = content_.known_text();
    }

    /** Makes all of no account that feed_known(), and nothing else, has read since. */
    void go_back(const Mark& mark) {
        known_.go_back(mark.known, &events_);
        content_.set_known_text(mark.text);
    }

    /** The events that feed_known() takes, and the front of one that it has taken last. */
    const KnownEvents& known_events() const { return known_; }

    /** The first bytes have shown the kind of the body, or it has ended. */
    bool knows_kind() const { return kind_is_known_; }
    AnswerKind kind() const { return kind_; }

    /** The body has ended, and entirely: for one that was cut short, call stop(). */
    void finish();

    /** The body goes on no more. Before, the usage may leave out an event that is not whole. */
    void stop();

    /**
     * True if the answer has reported some usage. While a stream goes on, this may be the input
     * alone.
     */
    bool has_usage() const { return content_.has_usage(); }

    /** Returns the usage that the answer has reported so far. */
    ReportedUsage reported() const { return content_.reported(); }

    /**
     * True if the answer has ended as its API ends an answer, and its report of the output covers
     * all of it. False for an answer that was cut, that an error ended, or that reported a number
     * only before its text: Anthropic's streams begin with one that means nothing.
     */
    bool is_finished() const;

    /** True if no text has come behind the last number that reports the output. */
    bool reports_all_output() const;

    /**
     * Returns the characters of text that the model wrote: content, reasoning, refusals and the
     * arguments of tools. Arguments that are an object and no text count in bytes. Text that a
     * stream repeats at its end counts once.
     */
    uint64_t text_characters() const { return content_.text_characters(); }

    /**
     * Returns the bytes that may be text and that text_characters() leaves out: bytes that should
     * be JSON and are none; scalars that are an event's or a line's whole document; the strings of
     * an answer of an unknown shape, one JSON document or a stream. If the Content-Type names none
     * of the kinds and the answer reported nothing, the model itself may have written what made the
     * body look like one: then everything that has no known text counts.
     */
    uint64_t unreadable_bytes() const;

    /** The model that the answer names; empty if it names none. In this object's memory. */
    std::string_view model() const { return content_.model(); }

    /** The service tier that the answer names, in this object's memory; empty if it names none,
     * or one of more than AnswerContent::kMaxTier bytes. */
    std::string_view service_tier() const { return content_.service_tier(); }

    /**
     * True if the body is not what its type says, or (only after finish()) is cut short. The
     * readable part counts nevertheless. An empty body is not malformed.
     */
    bool malformed() const { return malformed_; }

private:
    void find_kind(std::string_view piece, KnownRun* run);
    void read_piece(std::string_view piece, KnownRun* run);
    void begin_kind();
    void set_tree(AnswerKind kind);
    void feed_json(std::string_view piece);
    void feed_events(std::string_view piece, KnownRun* run);
    void read_front();
    bool read_event(std::string_view* rest);
    void end_event(std::string_view rest);
    void feed_lines(std::string_view piece);
    void feed_messages(std::string_view piece);
    void read_chunk(std::string_view payload);
    void end_message();
    void read_document(std::string_view text);
    void end_document();
    bool is_document_whole() const;
    bool is_guessed() const { return hint_is_other_ && finder_.is_sure(); }
    bool is_scalar() const;
    uint64_t unknown_bytes(uint64_t text) const;
    void end_unknown_text();
    uint64_t unknown_text() const;

    // the document that is being read
    JsonScanner scanner_;
    uint64_t offset_ = 0;      // of its bytes so far
    bool is_end_mark_ = true;  // as far as it has been read
    bool line_ended_ = false;  // a line feed stands behind it
    uint8_t first_ = 0;        // its first byte that is no white space

    // the body around it
    AnswerKindFinder finder_;
    AnswerKind kind_;
    bool hint_is_other_;
    bool kind_is_known_ = false;
    bool malformed_ = false;
    bool broken_ = false;    // it was no binary stream, or no longer one
    bool whole_ = false;     // it has ended, and with a whole document
    bool has_data_ = false;  // a document has begun
    bool reported_by_header_ = false;
    bool has_output_ = false;  // known text, or a count of it: no other text is looked for
    // of a body that may not be what it should be; where that is guessed, of the event that is
    // being read and what stands before it
    uint64_t bytes_ = 0;
    uint64_t unreadable_ = 0;
    uint64_t unknown_ = 0;  // bytes of documents, beside known text
    const UsagePaths* custom_;
    SseReader events_;
    KnownEvents known_;  // those that do nothing but add to a text
    EventStreamReader messages_;
    JsonScanner payload_;  // of a message that has a document in base64
    Base64Decoder base64_;

    AnswerContent content_;
    UnknownText others_;  // of a stream, as long as has_output_ is false
};

}  // namespace ai_limit
