#include "core/answers/answer_content.h"

#include <algorithm>
#include <type_traits>

#include "core/answers/answer_event.h"
#include "core/words/number.h"

namespace ai_limit {

static_assert(std::is_trivially_copyable_v<AnswerContent>);

void AnswerContent::begin_document() {
    text_before_ = text_characters();
}

uint64_t AnswerContent::end_document(bool whole) {
    std::string_view type;
    if (type_.get(&type) && !type.empty()) {
        take_event(type);
    }
    text_ += is_sound() ? 0 : delta_;
    delta_ = 0;
    most_repeated_ = std::max(most_repeated_, repeated_);
    repeated_ = 0;
    const uint64_t text = text_characters();
    if (reported_here_) {
        reported_at_ = whole ? text : UINT64_MAX;
        reported_alone_ = text == text_before_;
    }
    reported_here_ = false;
    arguments_open_ = false;
    if (has_sums_) {
        std::fill_n(sums_, kAnswerSums, Amount{0});
        has_sums_ = false;
    }
    type_.clear();
    const uint64_t here = text - text_before_;
    text_before_ = text;
    return here;
}

void AnswerContent::take(const JsonToken& token, uint64_t end) {
    switch (token.id) {
        case kAnswerText:
            take_text(token, &AnswerContent::text_);
            break;
        case kAnswerReasoning:
            take_text(token, &AnswerContent::reasoning_);
            break;
        case kAnswerReasoningContent:
            take_text(token, &AnswerContent::reasoning_content_);
            break;
        case kAnswerDelta:
            take_text(token, &AnswerContent::delta_);
            break;
        case kAnswerIgnored:
            take_ignored(token);
            break;
        case kAnswerType:
            take_type(token);
            break;
        case kAnswerItemType:
            take_item_type(token);
            break;
        case kAnswerArguments:
            take_arguments(token, end);
            break;
        case kAnswerRepeatedText:
            take_repeated_text(token);
            break;
        case kAnswerOtherText:
            others_ += characters_.add_piece(token.text, token.first);
            break;
        default:
            take_detail(token);
            break;
    }
}

/** Takes what is no text. */
void AnswerContent::take_detail(const JsonToken& token) {
    switch (token.id) {
        case kAnswerEnd:
            take_end(token);
            break;
        case kAnswerError:
            take_error(token);
            break;
        case kAnswerModel:
            take_model(token);
            break;
        case kAnswerTier:
            take_tier(token);
            break;
        case kAnswerImage:
            take_image(token);
            break;
        case kAnswerMediaType:
            take_media_type(token);
            break;
        case kAnswerQueries:
            queries_ = 0;
            break;
        case kAnswerQuery:
            take_query(token);
            break;
        case kAnswerInputPart:
        case kAnswerOutputPart:
            take_part(token);
            break;
        case kAnswerPartName:
            take_part_name(token);
            break;
        case kAnswerPartCount:
            read_count(token, 0, &part_);
            break;
        default:
            take_count(token);
            break;
    }
}

/**
 * Takes a number, or a string with its digits: ProtoJSON writes 64-bit numbers as strings. The
 * front of a long string is enough. The point is moved to the right by `decimals`.
 */
bool AnswerContent::read_count(const JsonToken& token, int decimals, Amount* count) {
    std::string_view number = token.text;
    if (token.kind != JsonToken::kNumber && token.kind != JsonToken::kString) {
        return false;
    }
    draft_.give_up();
    if (token.kind == JsonToken::kString && !read_short(token, &number)) {
        if (!token.last) {
            return false;
        }
        const std::string_view front = short_.front();
        number = front.substr(0, front.find_last_of("0123456789") + 1);
    }
    return read_reported_count(number, count, decimals);
}

void AnswerContent::take_count(const JsonToken& token) {
    Amount count = 0;
    const bool is_sum = token.id >= kFirstAnswerSum;
    const int decimals = is_sum ? 0 : decimals_of(count_field(token.id));
    if (read_count(token, decimals, &count)) {
        add_count(token.id, count);
    }
}

/** The name and the count of a part stand in its object in any order. */
void AnswerContent::take_part(const JsonToken& token) {
    if (token.kind == JsonToken::kEnd && part_name_ != nullptr) {
        const bool is_input = token.id == kAnswerInputPart;
        counts_.set(UsageSource::kModel, is_input ? part_name_->of_input : part_name_->of_output,
                    part_);
    }
    part_name_ = nullptr;
    part_ = 0;
}

void AnswerContent::take_part_name(const JsonToken& token) {
    std::string_view name;
    if (read_short(token, &name)) {
        part_name_ = find_answer_part(name);
    }
}

void AnswerContent::add_count(JsonPathId id, Amount count) {
    if (id >= kFirstAnswerSum) {
        Amount& sum = sums_[id - kFirstAnswerSum];
        sum = std::min(sum + count, kMaxAmount);
        has_sums_ = true;
        count = sum;
        id = sum_ids_[id - kFirstAnswerSum];
    }
    counts_.set(count_source(id), count_field(id), count);
    reported_here_ = reported_here_ || reports_output(count_field(id));
}

void AnswerContent::take_event(std::string_view type) {
    switch (answer_event(type)) {
        case AnswerEvent::kPlain:
            break;
        case AnswerEvent::kEnd:
            ended_ = true;
            break;
        case AnswerEvent::kImageEnd:
            ended_ = true;
            add_image();
            break;
        case AnswerEvent::kImage:
            add_image();
            break;
        case AnswerEvent::kError:
            failed_ = true;
            break;
        case AnswerEvent::kSearch:
            counts_.set(UsageSource::kModel, UsageField::kSearches, ++searches_);
            break;
    }
}

/** Collects a string that is of interest only if it is short; true once it is whole and is. */
bool AnswerContent::read_short(const JsonToken& token, std::string_view* text) {
    if (token.kind != JsonToken::kString) {
        return false;
    }
    if (token.first) {
        short_.clear();
    }
    short_.append(token.text);
    return token.last && short_.get(text);
}

/** All of the text so far, once more: the longest counts. */
void AnswerContent::take_repeated_text(const JsonToken& token) {
    if (token.kind != JsonToken::kString) {
        return;
    }
    draft_.give_up();
    repeated_ += characters_.add_piece(token.text, token.first);
}

void AnswerContent::take_text(const JsonToken& token, Counter counter) {
    if (token.kind != JsonToken::kString) {
        return;
    }
    this->*counter += characters_.add_piece(token.text, token.first);
    const bool whole = token.first && token.last;
    if (!whole) {
        draft_.give_up();
    } else if (!token.text.empty()) {
        draft_.note(EventHole::kText, token.text);
        draft_text_ = counter;
    }
}

/** Notes a value that differs from event to event and changes nothing. */
void AnswerContent::take_ignored(const JsonToken& token) {
    if (token.kind == JsonToken::kNumber) {
        draft_.note(EventHole::kDigits, token.text);
    } else if (token.kind == JsonToken::kString && token.first && token.last) {
        draft_.note(EventHole::kString, token.text);
    }
}

/** `true`, or a reason for the end of any length: TGI writes all of the text there. DashScope
 * writes "null" before the end. */
void AnswerContent::take_end(const JsonToken& token) {
    std::string_view reason;
    const bool is_short = read_short(token, &reason);
    const bool is_long = token.kind == JsonToken::kString && token.last && !is_short;
    const bool is_reason = is_long || (is_short && !reason.empty() && reason != "null");
    ended_ = ended_ || token.kind == JsonToken::kTrue || is_reason;
}

void AnswerContent::take_item_type(const JsonToken& token) {
    std::string_view type;
    if (read_short(token, &type)) {
        take_event(type);
    }
}

void AnswerContent::take_error(const JsonToken& token) {
    const bool is_message = token.kind == JsonToken::kString && !token.text.empty();
    failed_ = failed_ || is_message || token.kind == JsonToken::kBegin;
}

/** The first one that is named. */
void AnswerContent::take_model(const JsonToken& token) {
    if (token.kind != JsonToken::kString || !model_.view().empty()) {
        return;
    }
    if (token.first) {
        model_.begin();
    }
    model_.append_json(token.text);
    if (token.last) {
        model_.end();
    }
}

/** The last one that is named: a request's "auto" may come before it. */
void AnswerContent::take_tier(const JsonToken& token) {
    if (token.kind != JsonToken::kString) {
        return;
    }
    if (token.first) {
        tier_.clear();
    }
    tier_.append(token.text);
}

void AnswerContent::take_image(const JsonToken& token) {
    draft_.give_up();
    if (token.kind == JsonToken::kString && token.first && !token.text.empty()) {
        add_image();
    }
}

void AnswerContent::add_image() {
    counts_.set(UsageSource::kModel, UsageField::kImages, ++images_);
}

void AnswerContent::take_media_type(const JsonToken& token) {
    constexpr std::string_view kImages = "image/";
    draft_.give_up();
    std::string_view type;
    if (read_short(token, &type) && type.substr(0, kImages.size()) == kImages) {
        add_image();
    }
}

/** A stream may repeat its searches in several events, so those of one array count. */
void AnswerContent::take_query(const JsonToken& token) {
    draft_.give_up();
    if (token.kind == JsonToken::kString && token.first) {
        counts_.set(UsageSource::kModel, UsageField::kSearches, ++queries_);
    }
}

void AnswerContent::take_arguments(const JsonToken& token, uint64_t end) {
    if (token.kind == JsonToken::kBegin) {
        draft_.give_up();
        arguments_at_ = end - 1;
        arguments_open_ = true;
    } else if (token.kind == JsonToken::kEnd) {
        read_to(end);
        arguments_open_ = false;
    } else {
        take_text(token, &AnswerContent::text_);
    }
}

void AnswerContent::take_type(const JsonToken& token) {
    if (token.kind != JsonToken::kString) {
        return;
    }
    if (token.first) {
        type_.clear();
    }
    type_.append(token.text);
}

/** True if `delta` is sound in base64, such as that of response.audio.delta. */
bool AnswerContent::is_sound() const {
    constexpr std::string_view kSuffix = "audio.delta";
    std::string_view type;
    return type_.get(&type) && type.size() >= kSuffix.size() &&
           type.substr(type.size() - kSuffix.size()) == kSuffix;
}

/** Returns the text so far, in an answer with an event's delta or with text that is repeated. */
__attribute__((noinline)) uint64_t AnswerContent::most_written(uint64_t written) const {
    written += is_sound() ? 0 : delta_;
    return std::max(written, std::max(most_repeated_, repeated_));
}

std::string_view AnswerContent::service_tier() const {
    std::string_view tier;
    tier_.get(&tier);
    return tier;
}

bool AnswerContent::has_all_output() const {
    return reported_at_ == text_characters() && (ended_ || reported_alone_);
}

}  // namespace ai_limit
