#include "core/usage.h"

#include <algorithm>
#include <type_traits>

#include "core/ascii_case.h"
#include "core/number.h"

namespace ai_limit {

namespace {

struct HeaderRow {
    std::string_view name;
    UsageField field;
};

constexpr HeaderRow kHeaders[] = {
    {"x-amzn-bedrock-input-token-count", UsageField::kInput},
    {"x-amzn-bedrock-output-token-count", UsageField::kOutput},
    {"x-amzn-bedrock-cache-read-input-token-count", UsageField::kCacheRead},
    {"x-amzn-bedrock-cache-write-input-token-count", UsageField::kCacheWrite},
    {"x-prompt-tokens", UsageField::kPrompt},  // TGI
    {"x-generated-tokens", UsageField::kOutput},
};

/** OpenAI's streams end with an event that is no JSON. */
constexpr std::string_view kEndMark = "[DONE]";

/** What may stand before each document of application/json-seq (RFC 7464, 2.2). */
constexpr char kRecordSeparator = '\x1E';

/** Bedrock's event that has a model's own document in base64. */
constexpr std::string_view kChunkType = "chunk";

constexpr JsonPathId kChunkBytes = 0;

struct ChunkTree {
    JsonPaths<2> paths;
    const char* error;
};

constexpr ChunkTree make_chunk_tree() {
    ChunkTree tree{};
    tree.error = tree.paths.add("/bytes", kChunkBytes, JsonPathStar::kKey);
    return tree;
}

constexpr ChunkTree kChunkTree = make_chunk_tree();
static_assert(kChunkTree.error == nullptr);

bool is_whole(const JsonScanner& scanner) {
    return scanner.is_complete() || scanner.is_blank();
}

}  // namespace

static_assert(std::is_trivially_copyable_v<UsageReader> && sizeof(UsageReader) <= 3072);

UsageReader::UsageReader(AnswerKind kind, const UsagePaths* custom)
    : scanner_(custom != nullptr ? custom->tree(kind) : answer_tree(kind)),
      kind_(kind),
      automatic_(custom == nullptr),
      payload_(kChunkTree.paths.root()) {}

void UsageReader::header(std::string_view name, std::string_view value) {
    if (!automatic_ || name.empty() || lower(name.front()) != 'x') {
        return;
    }
    for (const HeaderRow& row : kHeaders) {
        Amount count = 0;
        if (is_same(name, row.name) && read_whole(value, kMaxAmount, &count)) {
            counts_.set(UsageSource::kServer, row.field, count);
            told_by_header_ = true;
        }
    }
}

void UsageReader::feed(std::string_view piece) {
    switch (kind_) {
        case AnswerKind::kOther:
            break;
        case AnswerKind::kJson:
            read_document(piece);
            malformed_ = scanner_.is_malformed();
            break;
        case AnswerKind::kSse:
            feed_events(piece);
            break;
        case AnswerKind::kLines:
            feed_lines(piece);
            break;
        case AnswerKind::kEventStream:
            feed_messages(piece);
            break;
    }
}

void UsageReader::finish() {
    stop();
    if (kind_ == AnswerKind::kEventStream && messages_.finish()) {
        malformed_ = true;
    }
    end_document();
}

void UsageReader::stop() {
    std::string_view front = known_.give_front();
    while (read_event(&front)) {
    }
}

void UsageReader::feed_events(std::string_view piece) {
    draft_.give_up();
    uint64_t text = 0;
    if (!known_.front().empty() && !known_.go_on(&events_, &piece, &text)) {
        stop();
    }
    do {
        if (events_.is_between_events()) {
            known_.skip(&events_, &piece, &text);
            this->*known_text_ += text;
            text = 0;
            draft_.begin(piece);
        }
    } while (!piece.empty() && read_event(&piece));
}

/** Goes on with an event that is not known; false where `rest` is used up. */
bool UsageReader::read_event(std::string_view* rest) {
    const SseToken token = events_.next(rest);
    if (token.kind == SseToken::kData) {
        read_document(token.text);
    } else if (token.kind == SseToken::kEndOfEvent) {
        end_event(*rest);
    }
    return token.kind != SseToken::kNothing;
}

void UsageReader::end_event(std::string_view rest) {
    if (is_sound()) {
        draft_.give_up();
    }
    end_document();
    if (known_.learn(draft_, rest)) {
        known_text_ = draft_text_ == &UsageReader::delta_ ? &UsageReader::text_ : draft_text_;
    }
}

void UsageReader::feed_lines(std::string_view piece) {
    while (!piece.empty()) {
        const size_t end = piece.find('\n');
        std::string_view line = piece.substr(0, end);
        piece.remove_prefix(end == piece.npos ? piece.size() : end + 1);
        while (offset_ == 0 && !line.empty() && line.front() == kRecordSeparator) {
            line.remove_prefix(1);
        }
        read_document(line);
        if (end != piece.npos) {
            end_document();
        }
    }
}

void UsageReader::feed_messages(std::string_view piece) {
    for (;;) {
        const EventStreamToken token = messages_.next(&piece);
        if (token.kind == EventStreamToken::kNothing) {
            break;
        }
        if (token.kind == EventStreamToken::kEndOfMessage) {
            end_message();
        } else if (messages_.event_type() == kChunkType) {
            read_chunk(token.text);
        } else {
            read_document(token.text);
        }
    }
    malformed_ = malformed_ || messages_.malformed();
}

/** `{"bytes":"<base64>"}`. */
void UsageReader::read_chunk(std::string_view payload) {
    for (;;) {
        const JsonToken token = payload_.next(&payload);
        if (token.kind == JsonToken::kNothing) {
            return;
        }
        if (token.kind != JsonToken::kString) {
            continue;
        }
        if (token.first) {
            base64_ = Base64Decoder();
        }
        std::string_view text = token.text;
        char decoded[512];
        while (!text.empty()) {
            read_document({decoded, base64_.decode(&text, decoded, sizeof decoded)});
        }
        if (token.last) {
            malformed_ = malformed_ || base64_.malformed();
            end_document();
        }
    }
}

void UsageReader::end_message() {
    malformed_ = malformed_ || !is_whole(payload_);
    payload_.reset();
    end_document();
}

void UsageReader::read_document(std::string_view text) {
    if (offset_ == 0) {
        text_before_ = text_bytes();
    }
    if (is_end_mark_) {
        is_end_mark_ = offset_ <= kEndMark.size() && kEndMark.substr(offset_, text.size()) == text;
    }
    std::string_view rest = text;
    for (;;) {
        const JsonToken token = scanner_.next(&rest);
        if (token.kind == JsonToken::kNothing) {
            break;
        }
        take(token, offset_ + (text.size() - rest.size()));
    }
    offset_ += text.size();
}

bool UsageReader::is_document_whole() const {
    const bool is_end_mark = is_end_mark_ && offset_ == kEndMark.size();
    return is_whole(scanner_) || (is_end_mark && kind_ == AnswerKind::kSse);
}

void UsageReader::end_document() {
    malformed_ = malformed_ || !is_document_whole();
    text_ += is_sound() ? 0 : delta_;
    delta_ = 0;
    if (told_here_) {
        told_at_ = text_bytes() == text_before_ ? text_before_ : UINT64_MAX;
    }
    told_here_ = false;
    offset_ = 0;
    is_end_mark_ = true;
    type_.clear();
    scanner_.reset();
}

/** `end` is where in the document the token ends; of a number, where it ends at the earliest. */
void UsageReader::take(const JsonToken& token, uint64_t end) {
    switch (token.id) {
        case kAnswerText:
            take_text(token, &UsageReader::text_);
            break;
        case kAnswerReasoning:
            take_text(token, &UsageReader::reasoning_);
            break;
        case kAnswerReasoningContent:
            take_text(token, &UsageReader::reasoning_content_);
            break;
        case kAnswerDelta:
            take_text(token, &UsageReader::delta_);
            break;
        case kAnswerIgnored:
            take_ignored(token);
            break;
        case kAnswerType:
            take_type(token);
            break;
        case kAnswerArguments:
            take_arguments(token, end);
            break;
        default:
            take_count(token);
            break;
    }
}

void UsageReader::take_count(const JsonToken& token) {
    if (token.kind != JsonToken::kNumber) {
        return;
    }
    draft_.give_up();
    Amount count = 0;
    if (read_json_count(token.text, &count)) {
        counts_.set(count_source(token.id), count_field(token.id), count);
        told_here_ = true;
    }
}

void UsageReader::take_text(const JsonToken& token, Counter counter) {
    if (token.kind != JsonToken::kString) {
        return;
    }
    if (token.first) {
        text_size_.begin_string();
    }
    this->*counter += text_size_.add(token.text);
    const bool whole = token.first && token.last;
    if (!whole) {
        draft_.give_up();
    } else if (!token.text.empty()) {
        draft_.note(EventHole::kText, token.text);
        draft_text_ = counter;
    }
}

/** What differs from event to event and changes nothing. */
void UsageReader::take_ignored(const JsonToken& token) {
    if (token.kind == JsonToken::kNumber) {
        draft_.note(EventHole::kDigits, token.text);
    } else if (token.kind == JsonToken::kString && token.first && token.last) {
        draft_.note(EventHole::kString, token.text);
    }
}

void UsageReader::take_arguments(const JsonToken& token, uint64_t end) {
    if (token.kind == JsonToken::kBegin) {
        draft_.give_up();
        arguments_at_ = end - 1;
    } else if (token.kind == JsonToken::kEnd) {
        text_ += end - arguments_at_;
    } else {
        take_text(token, &UsageReader::text_);
    }
}

void UsageReader::take_type(const JsonToken& token) {
    if (token.kind != JsonToken::kString) {
        return;
    }
    if (token.first) {
        type_.clear();
    }
    type_.append(token.text);
}

/** Whether `delta` holds sound in base64, such as that of response.audio.delta. */
bool UsageReader::is_sound() const {
    constexpr std::string_view kSuffix = "audio.delta";
    std::string_view type;
    return type_.get(&type) && type.size() >= kSuffix.size() &&
           type.substr(type.size() - kSuffix.size()) == kSuffix;
}

uint64_t UsageReader::text_bytes() const {
    return text_ + std::max(reasoning_, reasoning_content_) + (is_sound() ? 0 : delta_);
}

}  // namespace ai_limit
