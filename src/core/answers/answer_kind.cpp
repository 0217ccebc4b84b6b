#include "core/answers/answer_kind.h"

#include "core/words/ascii_case.h"

namespace ai_limit {

namespace {

struct Type {
    std::string_view name;
    AnswerKind kind;
};

constexpr Type kTypes[] = {
    {"application/json", AnswerKind::kJson},
    {"text/event-stream", AnswerKind::kSse},
    {"application/x-ndjson", AnswerKind::kLines},
    {"application/ndjson", AnswerKind::kLines},
    {"application/jsonl", AnswerKind::kLines},
    {"application/x-jsonl", AnswerKind::kLines},
    {"application/jsonlines", AnswerKind::kLines},
    {"application/x-jsonlines", AnswerKind::kLines},
    {"application/json-seq", AnswerKind::kLines},
    {"application/stream+json", AnswerKind::kLines},
    {"application/vnd.amazon.eventstream", AnswerKind::kEventStream},
    {"text/json", AnswerKind::kJson},
};

/** RFC 6839, 3.1. */
constexpr std::string_view kJsonSuffix = "+json";

constexpr std::string_view kMedia[] = {"audio/", "image/", "video/"};

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/** The fields of an event (WHATWG HTML, 9.2.6); a line that begins with a colon is a comment. */
constexpr std::string_view kEventFields[] = {":", "data:", "event:", "id:", "retry:"};

/** RFC 7464, 2.2. */
constexpr char kRecordSeparator = '\x1E';

bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

}  // namespace

AnswerKind answer_kind(std::string_view content_type) {
    std::string_view name = content_type.substr(0, content_type.find(';'));
    while (!name.empty() && (name.back() == ' ' || name.back() == '\t')) {
        name.remove_suffix(1);
    }
    for (const Type& type : kTypes) {
        if (is_same(name, type.name)) {
            return type.kind;
        }
    }
    const bool has_suffix = name.size() > kJsonSuffix.size() &&
                            is_same(name.substr(name.size() - kJsonSuffix.size()), kJsonSuffix);
    return has_suffix ? AnswerKind::kJson : AnswerKind::kOther;
}

bool is_media_type(std::string_view content_type) {
    for (const std::string_view media : kMedia) {
        if (is_same(content_type.substr(0, media.size()), media)) {
            return true;
        }
    }
    return false;
}

bool AnswerKindFinder::take(std::string_view* rest) {
    while (!rest->empty()) {
        const char c = rest->front();
        if (size_ == 0 && marks_ < kByteOrderMark.size()) {
            if (c == kByteOrderMark[marks_]) {
                ++marks_;
                rest->remove_prefix(1);
                continue;
            }
            if (marks_ > 0) {
                return true;  // half a mark: no text begins so
            }
        }
        marks_ = kByteOrderMark.size();
        // Amazon's messages begin with their length, any byte of which counts.
        if (size_ == 0 && is_space(c) && kind_ != AnswerKind::kEventStream) {
            rest->remove_prefix(1);
            continue;
        }
        front_[size_++] = c;
        rest->remove_prefix(1);
        if (decide()) {
            return true;
        }
    }
    return false;
}

/** True if the first bytes show this kind, or none. */
bool AnswerKindFinder::decide() {
    const char c = front_[0];
    if (c == '{' || c == '[') {
        return set(kind_ == AnswerKind::kLines ? kind_ : AnswerKind::kJson);
    }
    if (c == kRecordSeparator && kind_ != AnswerKind::kEventStream) {
        return set(AnswerKind::kLines);
    }
    for (const std::string_view field : kEventFields) {
        const size_t size = size_ < field.size() ? size_ : field.size();
        if (field.substr(0, size) == front().substr(0, size)) {
            return size_ < field.size() ? false : set(AnswerKind::kSse);
        }
    }
    return true;
}

bool AnswerKindFinder::set(AnswerKind kind) {
    kind_ = kind;
    sure_ = true;
    return true;
}

}  // namespace ai_limit
