#pragma once

// Where each provider keeps, in an answer, what was used and what the model wrote.

#include <cstddef>

#include "core/answer_kind.h"
#include "core/json_paths.h"
#include "core/usage_counts.h"

namespace ai_limit {

/** The wanted values of an answer, but for its counts: those come first, see count_path_id(). */
enum AnswerValue : JsonPathId {
    kAnswerText = kUsageSources * kUsageFields,
    kAnswerReasoning,         // some servers write the same text under two names:
    kAnswerReasoningContent,  // this is the other one
    kAnswerDelta,             // Responses: text, unless kAnswerType says that it is sound
    kAnswerType,
    kAnswerArguments,  // of a tool: a string or an object, which is text as it stands
    kAnswerIgnored     // what differs from event to event and means nothing here
};

/** How a tree calls a count. */
constexpr JsonPathId count_path_id(UsageSource source, UsageField field) {
    return static_cast<JsonPathId>(static_cast<size_t>(source) * kUsageFields +
                                   static_cast<size_t>(field));
}

/** What count_path_id() was made of. */
constexpr UsageSource count_source(JsonPathId id) {
    return static_cast<UsageSource>(id / kUsageFields);
}
constexpr UsageField count_field(JsonPathId id) {
    return static_cast<UsageField>(id % kUsageFields);
}

constexpr size_t kAnswerPathNodes = 240;
using AnswerPaths = JsonPaths<kAnswerPathNodes>;

/** So many nodes can a tree have beside the paths of texts. */
constexpr size_t kNodesBesideTexts = 3 * kMaxJsonPathDepth + 1;

/** The tree for the documents of an answer: counts and texts of all providers. Static. */
const JsonPathNode* answer_tree(AnswerKind kind);

/** Adds the paths of texts to a tree that has at most kNodesBesideTexts. */
void add_text_paths(AnswerKind kind, AnswerPaths* paths);

}  // namespace ai_limit
