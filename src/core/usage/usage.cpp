#include "core/usage/usage.h"

#include <algorithm>
#include <type_traits>

#include "core/words/ascii_case.h"
#include "core/words/number.h"

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
    {"x-compute-tokens", UsageField::kPrompt},  // Text Embeddings Inference
};

/** OpenAI's streams end with an event that is no JSON. */
constexpr std::string_view kEndMark = "[DONE]";

/** May precede each document of application/json-seq (RFC 7464, 2.2). */
constexpr char kRecordSeparator = '\x1E';

/** Bedrock's event that has a model's own document in base64. */
constexpr std::string_view kChunkType = "chunk";

/** Bedrock's last event of Converse, with the usage. */
constexpr std::string_view kLastType = "metadata";

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

/** An event or a line has at most so many bytes beside its text, and so many for a character of it:
 * two escapes. Azure's events have some 600. */
constexpr uint64_t kBesideText = 1024;
constexpr uint64_t kPerCharacter = 12;

/**
 * Accepts Python's spelling of numbers and numbers of any length. A document that is an answer by
 * itself may have its text anywhere.
 */
constexpr JsonRules rules_for(AnswerKind kind) {
    const JsonPathId others =
        kind == AnswerKind::kJson ? JsonPathId{kAnswerOtherText} : kNoJsonPath;
    return {false, true, others, true};
}

bool is_whole(const JsonScanner& scanner) {
    return scanner.is_complete() || scanner.is_blank();
}

}  // namespace

static_assert(std::is_trivially_copyable_v<UsageReader> && sizeof(UsageReader) <= 4400);

UsageReader::UsageReader(AnswerKind hint, const UsagePaths* custom)
    : scanner_(nullptr),
      finder_(hint),
      kind_(hint),
      hint_is_other_(hint == AnswerKind::kOther),
      custom_(custom),
      payload_(kChunkTree.paths.root()) {
    set_tree(hint);
}

void UsageReader::set_tree(AnswerKind kind) {
    const AnswerTree tree = custom_ != nullptr ? custom_->tree(kind) : answer_tree(kind);
    scanner_ = JsonScanner(tree.root, rules_for(kind));
    content_.set_sums(tree.sums);
}

void UsageReader::header(std::string_view name, std::string_view value) {
    if (name.empty() || lower(name.front()) != 'x') {
        return;
    }
    for (const HeaderRow& row : kHeaders) {
        Amount count = 0;
        if (is_same(name, row.name) && read_whole(value, kMaxAmount, &count)) {
            content_.set(UsageSource::kBeside, row.field, count);
            reported_by_header_ = true;
        }
    }
}

/** With a piece of a body whose kind is known. */
void UsageReader::read_piece(std::string_view piece, KnownRun* run) {
    switch (kind_) {
        case AnswerKind::kOther:
            bytes_ += piece.size();
            break;
        case AnswerKind::kJson:
            feed_json(piece);
            break;
        case AnswerKind::kSse:
            feed_events(piece, run);
            break;
        case AnswerKind::kLines:
            feed_lines(piece);
            break;
        case AnswerKind::kEventStream:
            feed_messages(piece);
            break;
    }
}

/** As soon as it is known, what has been taken of the body is read, and what follows. */
void UsageReader::find_kind(std::string_view piece, KnownRun* run) {
    if (finder_.take(&piece)) {
        begin_kind();
        read_piece(piece, run);
    }
}

/** Begins to read as what the body is. */
void UsageReader::begin_kind() {
    kind_is_known_ = true;
    kind_ = finder_.kind();
    set_tree(kind_);
    read_piece(finder_.front(), nullptr);
}

void UsageReader::finish() {
    if (!kind_is_known_) {
        begin_kind();
    }
    stop();
    broken_ = messages_.malformed();
    if (kind_ == AnswerKind::kEventStream && messages_.finish()) {
        malformed_ = true;
    }
    whole_ = is_document_whole() && !(kind_ == AnswerKind::kEventStream && malformed_);
    end_document();
}

void UsageReader::stop() {
    read_front();
    if (kind_ == AnswerKind::kJson && scanner_.is_complete()) {
        content_.end();
    }
    if (is_document_whole()) {
        end_document();
    }
}

/** Reads the bytes that were kept as the front of a known event and are none. */
void UsageReader::read_front() {
    std::string_view front = known_.give_front();
    while (read_event(&front)) {
    }
}

/** One document, or behind it, on lines of their own, more of them. */
void UsageReader::feed_json(std::string_view piece) {
    while (!piece.empty()) {
        if (line_ended_) {
            const size_t at = piece.find_first_not_of(" \t\r\n");
            if (at == piece.npos) {
                return;
            }
            end_document();
            kind_ = AnswerKind::kLines;
            set_tree(kind_);
            feed_lines(piece.substr(at));
            return;
        }
        const size_t end = piece.find('\n');
        const std::string_view line = piece.substr(0, end == piece.npos ? end : end + 1);
        piece.remove_prefix(line.size());
        read_document(line);
        line_ended_ = end != piece.npos && scanner_.is_complete();
    }
    malformed_ = scanner_.is_malformed();
}

void UsageReader::feed_events(std::string_view piece, KnownRun* run) {
    content_.draft().give_up();
    uint64_t text = 0;
    if (!known_.front().empty() && !known_.go_on(&events_, &piece, &text)) {
        read_front();
    }
    do {
        if (events_.is_between_events()) {
            if (run == nullptr) {
                known_.skip(&events_, &piece, &text);
            } else {
                known_.skip_noting(&events_, &piece, &text, run);
            }
            content_.add_known_text(text);
            text = 0;
            if (piece.empty()) {
                return;
            }
            content_.draft().begin(piece);
        }
    } while (!piece.empty() && read_event(&piece));
}

size_t UsageReader::feed_known(std::string_view piece, uint64_t most, KnownTexts* texts) {
    if (!kind_is_known_ || kind_ != AnswerKind::kSse) {
        return 0;
    }
    content_.draft().give_up();
    const size_t size = piece.size();
    uint64_t text = 0;
    if (known_.skip_one(&events_, piece, &text, most, texts)) {
        piece = {};
    } else {
        known_.skip_some(&events_, &piece, &text, most, texts);
    }
    content_.add_known_text(text);
    return size - piece.size();
}

/** Goes on with an event that is not known; false if `rest` is used up. */
bool UsageReader::read_event(std::string_view* rest) {
    const size_t before = rest->size();
    const SseToken token = events_.next(rest);
    bytes_ += before - rest->size();
    if (token.kind == SseToken::kData) {
        read_document(token.text);
    } else if (token.kind == SseToken::kEndOfEvent) {
        end_event(*rest);
    }
    return token.kind != SseToken::kNothing;
}

void UsageReader::end_event(std::string_view rest) {
    // Skipped events are not judged, so an event that must be judged is not learned.
    if (content_.is_sound() || is_guessed()) {
        content_.draft().give_up();
    }
    end_document();
    if (known_.learn(content_.draft(), rest)) {
        content_.learn_draft();
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
    bytes_ += piece.size();
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
    if (messages_.event_type() == kLastType) {
        content_.end();
    }
}

void UsageReader::read_document(std::string_view text) {
    if (offset_ == 0) {
        content_.begin_document();
        first_ = 0;
    }
    for (size_t i = 0; first_ <= ' ' && i < text.size(); ++i) {
        first_ = static_cast<uint8_t>(text[i]);
    }
    has_data_ = has_data_ || !text.empty();
    if (is_end_mark_) {
        is_end_mark_ = offset_ <= kEndMark.size() && kEndMark.substr(offset_, text.size()) == text;
    }
    std::string_view rest = text;
    for (;;) {
        const JsonToken token = scanner_.next(&rest);
        if (token.kind == JsonToken::kNothing) {
            break;
        }
        content_.take(token, offset_ + (text.size() - rest.size()));
    }
    offset_ += text.size();
    content_.read_to(offset_);
    if (!has_output_ && kind_ != AnswerKind::kJson) {
        others_.feed(text);
    }
}

bool UsageReader::is_document_whole() const {
    const bool is_end_mark = is_end_mark_ && offset_ == kEndMark.size();
    return is_whole(scanner_) || (is_end_mark && kind_ == AnswerKind::kSse);
}

void UsageReader::end_document() {
    const bool whole = is_document_whole();
    malformed_ = malformed_ || !whole;
    if (whole && offset_ > 0 && !is_whole(scanner_)) {
        content_.end();  // [DONE]
    }
    const uint64_t text = content_.end_document(whole);
    if (is_scalar() || (scanner_.is_malformed() && !is_end_mark_)) {
        unreadable_ += offset_ - std::min(offset_, text);
        content_.draft().give_up();  // of the next one like it, the bytes count as well
    }
    if (!has_output_) {
        end_unknown_text();
    }
    if (is_guessed()) {
        unknown_ += unknown_bytes(text);
        bytes_ = 0;
    }
    line_ended_ = false;
    offset_ = 0;
    is_end_mark_ = true;
    scanner_.reset();
}

/**
 * True if the document is a single value such as a number or `null`, which may be a part of plain
 * text in an event or a line. A document is not known to be one before it has ended.
 */
bool UsageReader::is_scalar() const {
    return kind_ != AnswerKind::kJson && first_ != '{' && first_ != '[' && offset_ > 0 &&
           scanner_.is_complete();
}

/** Bytes of the document that is being read, and of the event around it, that are more than its
 * text explains. */
uint64_t UsageReader::unknown_bytes(uint64_t text) const {
    const uint64_t bytes = kind_ == AnswerKind::kSse ? bytes_ : offset_;
    const bool is_known = text > 0 && !scanner_.is_malformed();
    const uint64_t known = is_known ? kBesideText + std::min(text, bytes) * kPerCharacter : text;
    return bytes - std::min(bytes, known);
}

/** A document has ended. */
void UsageReader::end_unknown_text() {
    others_.end_document(!is_scalar() && !scanner_.is_malformed());
    has_output_ = content_.text_characters() > 0 || content_.reported().counts.output > 0;
}

/** Characters of strings in the events, lines or messages of a stream that has neither known text
 * nor a count of it. */
uint64_t UsageReader::unknown_text() const {
    if (kind_ == AnswerKind::kJson || text_characters() > 0 ||
        content_.reported().counts.output > 0) {
        return 0;
    }
    const bool counts = !is_scalar() && !scanner_.is_malformed();
    return others_.ended() + (counts ? others_.here() : 0);
}

uint64_t UsageReader::unreadable_bytes() const {
    const bool syncs = has_usage();
    if (is_guessed() && !syncs) {
        return unknown_ + unknown_bytes(content_.text_here());
    }
    switch (kind_) {
        case AnswerKind::kOther:
            return bytes_;
        case AnswerKind::kSse:
            if (!has_data_ && !finder_.is_sure()) {
                return bytes_;
            }
            break;
        case AnswerKind::kEventStream:
            return broken_ || messages_.malformed() ? bytes_ - std::min(bytes_, text_characters())
                                                    : unknown_text();
        case AnswerKind::kJson:
            if (text_characters() == 0 && syncs) {
                return 0;  // numbers, such as an embedding
            }
            if (text_characters() == 0 && unreadable_ == 0 && !scanner_.is_malformed()) {
                return content_.other_characters();
            }
            break;
        case AnswerKind::kLines:
            break;
    }
    const uint64_t open = scanner_.is_malformed() && !is_end_mark_ ? offset_ : 0;
    return unreadable_ + open + unknown_text();
}

bool UsageReader::is_finished() const {
    const bool ended = content_.has_ended() || whole_;
    if (content_.has_failed() || !ended || !content_.reported().has_output) {
        return false;
    }
    return kind_ == AnswerKind::kJson ||
           reports_all_output();  // one document has it where it likes
}

bool UsageReader::reports_all_output() const {
    return reported_by_header_ || content_.has_all_output();
}

}  // namespace ai_limit
