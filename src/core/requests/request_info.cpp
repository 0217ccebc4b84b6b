#include "core/requests/request_info.h"

#include <type_traits>

#include "core/json/lax_values.h"
#include "core/requests/body_paths.h"
#include "core/words/json_bytes.h"
#include "core/words/number.h"

namespace ai_limit {

namespace {

constexpr uint64_t kCharactersPerToken = 4;
constexpr uint64_t kBytesPerToken = 4;

constexpr Amount kEndless = UINT64_MAX;

bool is_object(const JsonToken& token) {
    return token.kind == JsonToken::kBegin && token.text == "{";
}

/** The kind says all: it is `true`, `false` or `null`. */
bool is_constant(const JsonToken& token) {
    return token.kind == JsonToken::kTrue || token.kind == JsonToken::kFalse ||
           token.kind == JsonToken::kNull;
}

/** Bytes from where a value begins to the end of its first token; 0 if that is not known. */
uint64_t size_so_far(const JsonToken& token) {
    switch (token.kind) {
        case JsonToken::kString:
            return token.text.size() + (token.last ? 2 : 1);
        case JsonToken::kFalse:
            return std::string_view("false").size();
        case JsonToken::kNull:
            return std::string_view("null").size();
        default:
            return token.text.size();
    }
}

Amount at_most(uint64_t value) {
    return value < kMaxAmount ? value : kMaxAmount;
}

}  // namespace

static_assert(std::is_trivially_copyable_v<RequestInfo> && sizeof(RequestInfo) <= 1280);

RequestInfo::RequestInfo() : scanner_(body_paths(), {true, true, kBodyOtherString}) {}

void RequestInfo::read_path(std::string_view path) {
    const RequestPath read = read_request_path(path);
    path_stream_ = read.stream;
    path_completions_ = read.completions;
    usage_field_ = read.usage_field;
    path_model_ = !read.model.empty();
    if (path_model_) {
        model_.assign(read.model);
    }
}

void RequestInfo::feed(std::string_view piece) {
    std::string_view rest = piece;
    while (!rest.empty()) {
        const std::string_view before = rest;
        const JsonToken token = scanner_.next(&rest);
        if (in_options_) {
            look_at_options(before.substr(0, before.size() - rest.size()), token);
        }
        if (token.kind != JsonToken::kNothing) {
            take(token, offset_ + (piece.size() - rest.size()));
        }
    }
    offset_ += piece.size();
}

/** `end` is where in the body the token ends; of a number, where it ends at the earliest. */
void RequestInfo::take(const JsonToken& token, uint64_t end) {
    switch (token.id) {
        case kBodyRoot:
            take_root(token, end);
            break;
        case kBodyModel:
            take_model(token);
            break;
        case kBodyStream:
            take_stream(token);
            break;
        case kBodyStreamOptions:
            take_stream_options(token, end);
            break;
        case kBodyIncludeUsage:
            take_include_usage(token, end);
            break;
        case kBodyAnswers:
            take_answers(token);
            break;
        case kBodyMessages:
            has_prompt_ = true;
            break;
        case kBodyMessage:
            messages_ += is_object(token) ? 1 : 0;
            take_text(token);
            break;
        case kBodyPrompt:
            has_prompt_ = true;
            take_text(token);
            break;
        case kBodyServiceTier:
            take_service_tier(token);
            break;
        case kBodyOtherString:
            take_other_string(token);
            break;
        case kBodyText:
        case kBodyInstructions:
            take_text(token);
            break;
        default:
            take_limit(token);
            break;
    }
}

void RequestInfo::take_root(const JsonToken& token, uint64_t end) {
    if (token.kind == JsonToken::kBegin) {
        root_is_object_ = is_object(token);
        stream_options_.root_at = end;
    }
    if (token.kind == JsonToken::kString) {
        take_other_string(token);
    }
}

void RequestInfo::take_model(const JsonToken& token) {
    if (path_model_ || token.kind == JsonToken::kEnd) {
        return;
    }
    if (token.kind != JsonToken::kString) {
        // Two numbers, or two objects, might say different things.
        compare(&spelled_model_, token.kind, is_constant(token));
        return;
    }
    if (token.first) {
        if (spelled_model_.seen) {
            former_model_ = model_;
        }
        model_.begin();
    }
    model_.append_json(token.text);
    if (token.last) {
        model_.end();
        compare(&spelled_model_, token.kind, former_model_.view() == model_.view());
    }
}

/**
 * A value of a key that has been read; another spelling of the key must have said the same. Texts
 * are compared as they are: a client could make two of them have the same hash.
 */
void RequestInfo::compare(Spelled* last, uint64_t value, bool same_text) {
    const uint32_t spelling = scanner_.spelling();
    const bool must_agree = last->seen && (form_ || last->spelling != spelling);
    ambiguous_ = ambiguous_ || (must_agree && (last->value != value || !same_text));
    *last = {value, spelling, true};
}

/** Puts the text of a short string together; true if `word` is all of it. */
bool RequestInfo::take_word(const JsonToken& token, std::string_view* word) {
    if (token.first) {
        word_.clear();
    }
    word_.append(token.text);
    return token.last && word_.get(word);
}

void RequestInfo::take_stream(const JsonToken& token) {
    LaxBool value = LaxBool::kNeither;
    switch (token.kind) {
        case JsonToken::kEnd:
            return;
        case JsonToken::kTrue:
            value = LaxBool::kTrue;
            break;
        case JsonToken::kFalse:
            value = LaxBool::kFalse;
            break;
        case JsonToken::kNumber:
            value = lax_bool_of_number(token.text);
            break;
        case JsonToken::kString: {
            std::string_view word;
            if (take_word(token, &word)) {
                value = lax_bool_of_text(word);
            } else if (!token.last) {
                return;
            }
            break;
        }
        default:
            break;
    }
    stream_true_ = value == LaxBool::kTrue;
    stream_false_ = value == LaxBool::kFalse;
    compare(&spelled_stream_, static_cast<uint64_t>(value));
}

void RequestInfo::take_service_tier(const JsonToken& token) {
    if (token.kind != JsonToken::kString) {
        return;
    }
    if (token.first) {
        former_tier_ = tier_;
        tier_.clear();
    }
    tier_.append(token.text);
    if (token.last) {
        std::string_view former;
        former_tier_.get(&former);
        compare(&spelled_tier_, token.kind, former == service_tier());
    }
}

std::string_view RequestInfo::service_tier() const {
    std::string_view text;
    tier_.get(&text);
    return text;
}

/** A number in the place of text is a token of the prompt. */
void RequestInfo::take_text(const JsonToken& token) {
    if (token.kind == JsonToken::kNumber) {
        ++prompt_tokens_;
    }
    const bool says_something = token.kind == JsonToken::kString ||
                                token.kind == JsonToken::kNumber ||
                                (token.id == kBodyMessage && is_object(token));
    knows_prompt_ = knows_prompt_ || (says_something && token.id != kBodyInstructions);
    if (token.kind != JsonToken::kString) {
        return;
    }
    if (token.first) {
        characters_.begin_string();
    }
    characters_.add(token.text);
}

void RequestInfo::take_other_string(const JsonToken& token) {
    if (knows_prompt_) {
        return;
    }
    if (token.first) {
        other_characters_.begin_string();
    }
    other_characters_.add(token.text);
}

/**
 * Takes a limit of the output. The largest one counts, since different keys may set it. Null ends
 * the limit that the same key has set before, in any spelling: some servers match keys without
 * regard to case.
 */
void RequestInfo::take_limit(const JsonToken& token) {
    const uint64_t bit = uint64_t{1} << (token.id - kBodyMostOutput);
    Amount count = 0;
    if (token.kind == JsonToken::kNull) {
        limits_ &= ~bit;
    } else if (take_count(token, &spelled_limit_, &count)) {
        limits_ |= bit;
        endless_ = endless_ || count == kEndless;
        most_output_ = count != kEndless && count > most_output_ ? count : most_output_;
    }
}

void RequestInfo::take_answers(const JsonToken& token) {
    Amount count = 0;
    if (take_count(token, &spelled_answers_, &count) && count != kEndless && count > answers_) {
        answers_ = count;
    }
}

/**
 * Takes a count, and returns true if the token is the end of one; a negative one is kEndless.
 * Different spellings of a key must agree. For a form, in which each key may stand once, the
 * spellings are not compared.
 */
bool RequestInfo::take_count(const JsonToken& token, Spelled* spelled, Amount* count) {
    std::string_view text = token.text;
    if (token.kind == JsonToken::kString) {
        if (!take_word(token, &text) || !is_lax_number(&text)) {
            return false;
        }
    } else if (token.kind != JsonToken::kNumber) {
        return false;
    }
    *count = kMaxAmount;  // also of a number that is too large, or no count
    if (!text.empty() && text.front() == '-') {
        *count = kEndless;
    } else {
        read_json_count(text, count);
    }
    if (!form_) {
        compare(spelled, *count);
    }
    return true;
}

void RequestInfo::take_stream_options(const JsonToken& token, uint64_t end) {
    if (token.kind == JsonToken::kEnd) {
        in_options_ = false;
        return;
    }
    if (token.kind == JsonToken::kString && !token.first) {
        return;
    }
    compare(&spelled_options_, end);  // no two are the same
    odd_options_ = odd_options_ || scanner_.spelling() != 0;
    // Another one of the same name takes the place of the first.
    const uint64_t root_at = stream_options_.root_at;
    stream_options_ = StreamOptionsPlace();
    stream_options_.root_at = root_at;
    stream_options_.options = is_object(token)                 ? StreamOptionsPlace::kObject
                              : token.kind == JsonToken::kNull ? StreamOptionsPlace::kNull
                                                               : StreamOptionsPlace::kOther;
    in_options_ = token.kind == JsonToken::kBegin;
    constexpr std::string_view kNullText = "null";
    stream_options_.options_at = token.kind == JsonToken::kNull ? end - kNullText.size() : end;
}

void RequestInfo::take_include_usage(const JsonToken& token, uint64_t end) {
    StreamOptionsPlace* place = &stream_options_;
    odd_options_ = odd_options_ || scanner_.spelling() != 0;
    if (token.kind == JsonToken::kTrue) {
        place->include_usage = StreamOptionsPlace::kTrue;
        compare(&spelled_include_usage_, JsonToken::kTrue);
        return;
    }
    place->include_usage = StreamOptionsPlace::kOther;
    const bool continues = token.kind == JsonToken::kString && !token.first;
    if (!continues && token.kind != JsonToken::kEnd) {
        place->include_usage_at = end - size_so_far(token);
    }
    const bool ends =
        token.kind == JsonToken::kString ? token.last : token.kind != JsonToken::kBegin;
    place->include_usage_size = ends ? end - place->include_usage_at : 0;
    if (ends) {
        compare(&spelled_include_usage_, token.kind, is_constant(token));
    }
}

/** Within `stream_options`: any byte but white space and its end says that it has a key. */
void RequestInfo::look_at_options(std::string_view used, const JsonToken& token) {
    if (token.kind == JsonToken::kEnd && token.id == kBodyStreamOptions) {
        used.remove_suffix(1);
    }
    for (size_t i = 0; i < used.size() && stream_options_.empty; ++i) {
        stream_options_.empty = is_json_space(used[i]);
    }
}

bool RequestInfo::most_output(Amount* tokens) const {
    if (limits_ == 0 || endless_) {
        return false;
    }
    const bool fits = most_output_ <= kMaxAmount / answers_;
    *tokens = fits ? most_output_ * answers_ : kMaxAmount;
    return true;
}

void RequestInfo::set_most_output(Amount tokens) {
    limits_ = 1;
    endless_ = false;
    most_output_ = at_most(tokens);
    answers_ = 1;
}

Amount RequestInfo::prompt_estimate() const {
    if (unreadable()) {
        return at_most((finished_ ? body_size_ : offset_) / kBytesPerToken);
    }
    const uint64_t framing = messages_ > 0 ? messages_ + 2 : 0;
    const uint64_t others = knows_prompt_ ? 0 : other_characters_.count();
    return at_most((characters_.count() + others) / kCharactersPerToken + prompt_tokens_ + framing);
}

std::string_view RequestInfo::why_unreadable() const {
    if (failed_) {
        return "The coding or the character encoding of the request body cannot be read.";
    }
    const bool malformed =
        scanner_.is_malformed() || (finished_ && !scanner_.is_complete() && !scanner_.is_blank());
    if (malformed) {
        return form_ ? "The form in the request body is malformed."
                     : "The request body is neither valid JSON nor a form.";
    }
    if (is_batch_) {
        return "The request body is a batch of several requests.";
    }
    return ambiguous_ ? "Keys of the request body say different things." : std::string_view();
}

bool RequestInfo::is_for_completions_stream() const {
    return path_completions_ && has_prompt_ && stream_true_ && root_is_object_ &&
           scanner_.is_complete() && !unreadable();
}

bool RequestInfo::edit_to_include_usage(BodyEdit* edit) const {
    if (!is_for_completions_stream() || !is_plain_ || odd_options_ ||
        !ai_limit::edit_to_include_usage(stream_options_, edit)) {
        return false;
    }
    edit->offset += text_at_;
    return true;
}

std::string_view RequestInfo::why_usage_is_left_out() const {
    BodyEdit edit;
    if (!is_for_completions_stream() || includes_usage() || edit_to_include_usage(&edit)) {
        return {};
    }
    return "The stream would leave out its usage: set include_usage in stream_options to true.";
}

}  // namespace ai_limit
