#pragma once

// Lists the paths at which each provider's answers keep their usage and the model's text.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/answers/answer_kind.h"
#include "core/counts/usage_counts.h"
#include "core/json/json_paths.h"

namespace ai_limit {

/** The wanted values of an answer, but for its counts: those come first, see count_path_id(). */
enum AnswerValue : JsonPathId {
    kAnswerText = kUsageSources * kUsageFields,
    kAnswerRepeatedText,      // all of the text so far, in each event
    kAnswerReasoning,         // some servers write the same text under two names:
    kAnswerReasoningContent,  // this is the other one
    kAnswerDelta,             // Responses: text, unless kAnswerType says that it is sound
    kAnswerType,
    kAnswerItemType,   // of a part of the answer: a search is one
    kAnswerArguments,  // of a tool: a string or an object, which is text as it stands
    kAnswerEnd,        // `true`, or a reason: nothing but usage follows
    kAnswerError,      // an object or a text: the answer ends with it
    kAnswerModel,
    kAnswerTier,
    kAnswerImage,       // a string for each image
    kAnswerMediaType,   // of a file that the model made: image/… is an image
    kAnswerQueries,     // an array of searches of the web,
    kAnswerQuery,       // and a string for each of them
    kAnswerInputPart,   // an object that names a part of the input, or searches, and its count;
    kAnswerOutputPart,  // the same of the output,
    kAnswerPartName,    // with these two values
    kAnswerPartCount,
    kAnswerIgnored,    // what differs from event to event and means nothing here
    kAnswerOtherText,  // any other string of a document that is an answer by itself
    kFirstAnswerSum    // from here on: counts that are added up, see AnswerTree
};

/** The number of a tree's counts that can be sums over the elements of an array. */
constexpr size_t kAnswerSums = 22;
static_assert(kFirstAnswerSum + kAnswerSums < kNoJsonPath);

/** Returns the id of a count in a tree. */
constexpr JsonPathId count_path_id(UsageSource source, UsageField field) {
    return static_cast<JsonPathId>(static_cast<size_t>(source) * kUsageFields +
                                   static_cast<size_t>(field));
}

/** Return the arguments that count_path_id() was given. */
constexpr UsageSource count_source(JsonPathId id) {
    return static_cast<UsageSource>(id / kUsageFields);
}
constexpr UsageField count_field(JsonPathId id) {
    return static_cast<UsageField>(id % kUsageFields);
}

constexpr size_t kAnswerPathNodes = 700;
using AnswerPaths = JsonPaths<kAnswerPathNodes>;

/** The most nodes and sums that a tree can have beside those of the providers. */
constexpr size_t kOwnPathNodes = 160;
constexpr size_t kOwnSums = 12;
constexpr size_t kFirstOwnSum = kAnswerSums - kOwnSums;

/** The paths of one kind of answers. */
struct AnswerTree {
    const JsonPathNode* root;
    const JsonPathId* sums;  // count_path_id() of each sum: kAnswerSums of them
};

/** The tree for the documents of an answer: counts and texts of all providers. Static. */
AnswerTree answer_tree(AnswerKind kind);

/**
 * Adds the paths of all providers to a tree that has at most kOwnPathNodes, and their sums, which
 * leave those from kFirstOwnSum on alone.
 */
void add_provider_paths(AnswerKind kind, AnswerPaths* paths, JsonPathId* sums);

}  // namespace ai_limit
