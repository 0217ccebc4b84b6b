#include "core/answer_kind.h"

#include "core/ascii_case.h"

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

}  // namespace ai_limit
