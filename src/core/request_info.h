#pragma once

// What a request to an AI API asks for: its model, how much output at most, whether as a stream,
// and about how many tokens its prompt has. Read from the path and from the body, in pieces as they
// come; nothing of the body is kept but the model.

#include <cstdint>
#include <string_view>

#include "core/include_usage.h"
#include "core/json_characters.h"
#include "core/json_scan.h"
#include "core/model_name.h"
#include "core/request_path.h"
#include "core/types.h"

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

    /** The body has ended. Until then the answers below are about what has come so far. */
    void finish() { finished_ = true; }

    /**
     * The model; empty where none is named. At most ModelName::kMaxSize bytes, of any value, in
     * this object's memory. The path's goes before the body's: where a path names one (Gemini,
     * Vertex, Bedrock, Azure), the servers go by it.
     */
    std::string_view model() const { return model_.view(); }

    /** The client asks for a stream. */
    bool streams() const;

    /** By its path, it is one whose stream can tell its usage if it is asked to. */
    bool is_for_completions() const { return path_completions_; }

    /** The client itself asks for the usage at the end of an OpenAI-style stream. */
    bool includes_usage() const {
        return stream_options_.include_usage == StreamOptionsPlace::kTrue;
    }

    /**
     * The most output tokens that the request asks for, times the number of answers; at most
     * kMaxAmount. Of several limits the largest counts. False where it names none, or says that
     * there is none (-1).
     */
    bool most_output(Amount* tokens) const;

    /**
     * About how many tokens the prompt has: a quarter of the characters of its text, and for
     * messages one for each and two more, as OpenAI's own limiter reckons. Prompts that are tokens
     * already are counted. Images, sounds, files and the definitions of tools count nothing. At
     * most kMaxAmount.
     */
    Amount prompt_estimate() const;

    /**
     * The body cannot be read or is not one JSON document, or not yet. An empty one is not
     * malformed. What stood before the mistake counts.
     */
    bool malformed() const;

    /**
     * The edit of the body that asks for the usage on behalf of a client that did not. False, and
     * `edit` untouched, where none is needed, or the request is no complete OpenAI-style one for a
     * stream.
     */
    bool edit_to_include_usage(BodyEdit* edit) const;

private:
    void take(const JsonToken& token, uint64_t end);
    void take_root(const JsonToken& token, uint64_t end);
    void take_model(const JsonToken& token);
    void take_text(const JsonToken& token);
    void take_count(const JsonToken& token, Amount* largest);
    void take_stream_options(const JsonToken& token, uint64_t end);
    void take_include_usage(const JsonToken& token, uint64_t end);
    void look_at_options(std::string_view used, const JsonToken& token);

    JsonScanner scanner_;
    ModelName model_;
    RequestPath::Stream path_stream_ = RequestPath::kByBody;
    bool path_model_ = false;
    bool path_completions_ = false;

    uint64_t offset_ = 0;  // of the piece in the text
    StreamOptionsPlace stream_options_;
    bool in_options_ = false;
    bool root_is_object_ = false;
    bool has_prompt_ = false;  // `messages` or `prompt` stands in the body
    bool stream_true_ = false;
    bool stream_false_ = false;
    bool limited_ = false;
    bool endless_ = false;
    bool finished_ = false;
    bool failed_ = false;
    bool is_plain_ = false;  // the text is that of the body,
    uint64_t text_at_ = 0;   // where it begins
    Amount most_output_ = 0;
    Amount answers_ = 1;  // never 0
    uint64_t messages_ = 0;
    uint64_t prompt_tokens_ = 0;  // given as numbers
    JsonCharacters characters_;
};

}  // namespace ai_limit
