#pragma once

// Reads the content of an answer's JSON documents: a single one, or those of a stream's events one
// after another.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/answers/answer_part.h"
#include "core/answers/answer_paths.h"
#include "core/counts/usage_counts.h"
#include "core/json/json_characters.h"
#include "core/json/json_scan.h"
#include "core/json/json_text.h"
#include "core/json/model_name.h"
#include "core/streams/event_template.h"

namespace ai_limit {

/** The counts, the text and the model of one answer. Trivially copyable. */
class AnswerContent {
public:
    static constexpr size_t kMaxTier = 32;

    /** From now on, sums are those of a tree (AnswerTree::sums), which outlives this. */
    void set_sums(const JsonPathId* sums) { sum_ids_ = sums; }

    void begin_document();

    /**
     * Takes a token that ends at `end` in the document. For a number, `end` is the earliest place
     * where it can end.
     */
    void take(const JsonToken& token, uint64_t end);

    /** The document has been read up to `at`: so far the arguments of a tool reach that have not
     * ended. */
    void read_to(uint64_t at) {
        if (arguments_open_) {
            text_ += at - arguments_at_;
            arguments_at_ = at;
        }
    }

    /** `whole`: it is not cut short. Returns how many characters of text it had. */
    uint64_t end_document(bool whole);

    /** Sets a count that a header reports. */
    void set(UsageSource source, UsageField field, Amount count) {
        counts_.set(source, field, count);
    }

    /** The API has ended the answer, though usage may follow. */
    void end() { ended_ = true; }
    bool has_ended() const { return ended_; }

    /** The answer says that an error has ended it. */
    bool has_failed() const { return failed_; }

    /** No text has come behind the last number that counts output; if the answer has not
     * ended, neither was any in the same document. */
    bool has_all_output() const;

    bool has_usage() const { return counts_.has_any(); }
    ReportedUsage reported() const { return counts_.reported(); }

    /** See UsageReader::text_characters(). Each event of a stream asks this. */
    uint64_t text_characters() const {
        const uint64_t written =
            text_ + (reasoning_ > reasoning_content_ ? reasoning_ : reasoning_content_);
        return (delta_ | most_repeated_ | repeated_) == 0 ? written : most_written(written);
    }

    /** Returns how many of them are in the document that is being read. */
    uint64_t text_here() const { return text_characters() - text_before_; }

    /** Characters of all strings that no path names, where the tree's scanner reports them. */
    uint64_t other_characters() const { return others_; }

    /** Empty if there is none. In this object's memory. */
    std::string_view model() const { return model_.view(); }
    std::string_view service_tier() const;

    /** `delta` of this event is sound, not text. */
    bool is_sound() const;

    // Events that are like an earlier one, and do nothing but add to a text.

    EventDraft& draft() { return draft_; }

    /** The event that the draft notes is known from now on. */
    void learn_draft() {
        known_text_ = draft_text_ == &AnswerContent::delta_ ? &AnswerContent::text_ : draft_text_;
    }

    /** Adds the text of known events. */
    void add_known_text(uint64_t characters) { this->*known_text_ += characters; }

    /** The count that add_known_text() adds to. */
    uint64_t known_text() const { return this->*known_text_; }
    void set_known_text(uint64_t characters) { this->*known_text_ = characters; }

private:
    uint64_t most_written(uint64_t written) const;

    using Counter = uint64_t AnswerContent::*;

    void take_detail(const JsonToken& token);
    void take_count(const JsonToken& token);
    void add_count(JsonPathId id, Amount count);
    void take_text(const JsonToken& token, Counter counter);
    void take_repeated_text(const JsonToken& token);
    void take_arguments(const JsonToken& token, uint64_t end);
    void take_type(const JsonToken& token);
    void take_item_type(const JsonToken& token);
    void take_ignored(const JsonToken& token);
    void take_end(const JsonToken& token);
    void take_error(const JsonToken& token);
    void take_model(const JsonToken& token);
    void take_tier(const JsonToken& token);
    void take_image(const JsonToken& token);
    void take_media_type(const JsonToken& token);
    void take_query(const JsonToken& token);
    void take_part(const JsonToken& token);
    void take_part_name(const JsonToken& token);
    void add_image();
    bool read_count(const JsonToken& token, int decimals, Amount* count);
    void take_event(std::string_view type);
    bool read_short(const JsonToken& token, std::string_view* text);

    static constexpr size_t kMaxType = 40;
    static constexpr size_t kMaxShort = 32;

    // of the document that is being read
    uint64_t text_before_ = 0;   // characters of text when it began
    uint64_t arguments_at_ = 0;  // up to where an object with the arguments of a tool is counted
    uint64_t delta_ = 0;         // characters of text, unless its type says otherwise
    uint64_t repeated_ = 0;      // characters of text that repeats the answer from its beginning on
    JsonCharacters characters_;
    JsonText<kMaxType> type_;
    JsonText<kMaxShort> short_;  // a string that is of interest only if it is short
    const JsonPathId* sum_ids_ = nullptr;
    Amount sums_[kAnswerSums] = {};
    Amount part_ = 0;  // the count of a part that its object names
    const AnswerPart* part_name_ = nullptr;
    bool has_sums_ = false;
    bool arguments_open_ = false;
    bool reported_here_ = false;  // a count of the output
    EventDraft draft_;            // of the event that is being read, if it began in this piece
    Counter draft_text_ = &AnswerContent::text_;

    // of all of them
    UsageCounts counts_;
    uint64_t reported_at_ =
        UINT64_MAX;  // characters of text up to the end of the last that reported_here_
    Amount images_ = 0;
    Amount searches_ = 0;
    Amount queries_ = 0;  // of the array that is being read
    ModelName model_;
    JsonText<kMaxTier> tier_;
    bool reported_alone_ = false;  // the document that reported_at_ is about had no text
    bool ended_ = false;
    bool failed_ = false;
    Counter known_text_ = &AnswerContent::text_;
    uint64_t text_ = 0;
    uint64_t reasoning_ = 0;
    uint64_t reasoning_content_ = 0;
    uint64_t most_repeated_ = 0;
    uint64_t others_ = 0;
};

}  // namespace ai_limit
