#pragma once

// Reads what a request to an AI API asks for: its model, its most output, whether it wants a
// stream, and roughly how many tokens its prompt has. It reads the path and the body, in pieces as
// they come. It keeps only the model and the service tier of the body.
//
// The body is read as the most lenient of the servers read it, since what one of them understands
// must count:
// - keys match without regard to case, as in Go. If two spellings of a key disagree, nobody
//   knows which one the server believes: then the body is unreadable. If one spelling comes twice,
//   the last value counts, as everywhere.
// - NaN and Infinity are numbers, as in Python.
// - "yes" and 1 are true, and "500" is 500, as in pydantic.

#include <cstdint>
#include <string_view>

#include "core/json/json_characters.h"
#include "core/json/json_scan.h"
#include "core/json/json_text.h"
#include "core/json/model_name.h"
#include "core/requests/include_usage.h"
#include "core/requests/request_path.h"
#include "core/words/types.h"

namespace ai_limit {

/** One request. Trivially copyable. */
class RequestInfo {
public:
    RequestInfo();

    /** The path as nginx's r->uri holds it, decoded; once, and before the body. */
    void read_path(std::string_view path);

    /** The next piece of the body's text, in UTF-8. */
    void feed(std::string_view piece);

    /** The text stands in the body as it is, from this byte on: only then can the body be edited.
     */
    void set_offset_in_body(uint64_t offset) {
        is_plain_ = true;
        text_at_ = offset;
    }

    /** The text of the body cannot be read, or only what was fed of it. */
    void fail() { failed_ = true; }

    /**
     * The text is what FormText makes of a form. If a key comes twice, some servers take the first
     * value, so both must be the same.
     */
    void set_form() { form_ = true; }

    /** Keys that another reader has found differ. */
    void set_disagreeing() { ambiguous_ = true; }

    /** The body is a batch with several values for one of these. */
    void set_batch() { is_batch_ = true; }

    /** The body has ended, and counts as so many bytes where it is unreadable. Until then the
     * answers below are about what has come so far. */
    void finish(uint64_t body_size) {
        finished_ = true;
        body_size_ = body_size;
    }

    /**
     * Returns the model; empty if none is named. It has at most ModelName::kMaxSize bytes, of any
     * value, in this object's memory. The model of the path goes before that of the body: if a path
     * names one (Gemini, Vertex, Bedrock, Azure), the servers follow it.
     */
    std::string_view model() const { return model_.view(); }

    /** True if that is the model of the path, which is certain also where the body is unreadable.
     */
    bool is_model_of_path() const { return path_model_; }

    /** `service_tier`; empty if there is none, or more than 32 bytes. In this object's memory.
     */
    std::string_view service_tier() const;

    /** True if the client asks for a stream. */
    bool streams() const {
        switch (path_stream_) {
            case RequestPath::kAlways:
                return true;
            case RequestPath::kUnlessRefused:
                return !stream_false_;
            case RequestPath::kByBody:
                break;
        }
        return stream_true_;
    }

    /**
     * The `usage_field` of RequestPath. A client of Google could use it to leave its usage out of
     * the answer.
     */
    std::string_view usage_field() const { return usage_field_; }

    /** By its path, its stream can report usage if it is asked to. */
    bool is_for_completions() const { return path_completions_; }

    /** The client itself asks for the usage at the end of an OpenAI-style stream, by a `true` that
     * all servers understand, under keys that all servers know. */
    bool includes_usage() const {
        return stream_options_.include_usage == StreamOptionsPlace::kTrue && !odd_options_;
    }

    /**
     * Finds the most output tokens that the request asks for, times the number of answers; at most
     * kMaxAmount. The largest of several limits counts. Returns false if the request names none, or
     * says that there is none (-1, or null behind each number: most readers take the last value of
     * a key that comes twice).
     */
    bool most_output(Amount* tokens) const;

    /** The number of answers that the request asks for to each prompt; at least 1. */
    Amount answers() const { return answers_; }

    /** The body has been changed so that it asks for at most so many tokens of output in all. */
    void set_most_output(Amount tokens);

    /**
     * Estimates the tokens of the prompt: a quarter of the characters of its text, and for messages
     * one for each and two more, as OpenAI's own limiter does. Prompts that are tokens already are
     * counted. Images, sounds, files and the definitions of tools count nothing. If no prompt is
     * found in any known place, all strings of the body count as its text, except the model. If the
     * body is unreadable, its bytes count. At most kMaxAmount.
     */
    Amount prompt_estimate() const;

    /**
     * The body cannot be read: it is neither one JSON document nor a form, or not yet, or its keys
     * disagree. An empty one is readable. Model and limit are what stood before the mistake.
     */
    bool unreadable() const { return !why_unreadable().empty(); }

    /** Why, as a sentence for the client; empty if it is readable. Static. */
    std::string_view why_unreadable() const;

    /**
     * The edit of the body that asks for the usage on behalf of a client that did not. False, and
     * `edit` untouched, where none is needed, or the request is no complete OpenAI-style one for a
     * stream, or no edit is certain to help.
     */
    bool edit_to_include_usage(BodyEdit* edit) const;

    /**
     * Why an OpenAI-style stream may leave its usage out although it could be asked for: the
     * client did not, and no edit is certain to help. A sentence for the client; empty if the
     * usage will come, and where the request is no complete one for such a stream. Static.
     */
    std::string_view why_usage_is_left_out() const;

private:
    /** The last value of a key, and its spelling. */
    struct Spelled {
        uint64_t value = 0;  // of a string the kind: its text is compared by itself
        uint32_t spelling = 0;
        bool seen = false;
    };

    static constexpr size_t kMaxWord = 32;

    void take(const JsonToken& token, uint64_t end);
    void take_root(const JsonToken& token, uint64_t end);
    void take_model(const JsonToken& token);
    void take_text(const JsonToken& token);
    void take_other_string(const JsonToken& token);
    void take_stream(const JsonToken& token);
    void take_service_tier(const JsonToken& token);
    void take_limit(const JsonToken& token);
    void take_answers(const JsonToken& token);
    bool take_count(const JsonToken& token, Spelled* spelled, Amount* count);
    bool take_word(const JsonToken& token, std::string_view* word);
    void compare(Spelled* last, uint64_t value, bool same_text = true);
    void take_stream_options(const JsonToken& token, uint64_t end);
    void take_include_usage(const JsonToken& token, uint64_t end);
    void look_at_options(std::string_view used, const JsonToken& token);
    bool is_for_completions_stream() const;

    JsonScanner scanner_;
    ModelName model_;
    ModelName former_model_;  // what a key of the body said before
    RequestPath::Stream path_stream_ = RequestPath::kByBody;
    bool path_model_ = false;
    bool path_completions_ = false;
    std::string_view usage_field_;

    uint64_t offset_ = 0;  // of the piece in the text
    StreamOptionsPlace stream_options_;
    bool in_options_ = false;
    bool odd_options_ = false;  // a key of theirs has capitals: some servers know it, others do not
    bool root_is_object_ = false;
    bool has_prompt_ = false;  // `messages` or `prompt` stands in the body
    bool stream_true_ = false;
    bool stream_false_ = false;
    bool endless_ = false;
    bool finished_ = false;
    bool failed_ = false;
    bool ambiguous_ = false;  // keys that differ in case disagree
    bool is_batch_ = false;   // of several requests
    bool form_ = false;
    bool knows_prompt_ = false;  // some text of it was in a known place
    bool is_plain_ = false;      // the text is that of the body,
    uint64_t text_at_ = 0;       // where it begins
    uint64_t body_size_ = 0;
    uint64_t limits_ = 0;  // paths of limits, by bit, whose last value is a number
    Amount most_output_ = 0;
    Amount answers_ = 1;  // never 0
    uint64_t messages_ = 0;
    uint64_t prompt_tokens_ = 0;  // given as numbers
    JsonCharacters characters_;
    JsonCharacters other_characters_;  // of strings in no known place
    JsonText<kMaxWord> word_;          // a short value as it comes
    JsonText<kMaxWord> tier_;
    JsonText<kMaxWord> former_tier_;
    Spelled spelled_model_;
    Spelled spelled_stream_;
    Spelled spelled_options_;
    Spelled spelled_include_usage_;
    Spelled spelled_tier_;
    Spelled spelled_limit_;
    Spelled spelled_answers_;
};

}  // namespace ai_limit
