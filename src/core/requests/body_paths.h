#pragma once

// Which values of a request's body RequestInfo reads, for every API that is known.

#include "core/json/json_paths.h"

namespace ai_limit {

/** The wanted values of a body: the ids of the paths. */
enum BodyValue : JsonPathId {
    kBodyRoot,
    kBodyModel,
    kBodyStream,
    kBodyStreamOptions,
    kBodyIncludeUsage,
    kBodyAnswers,
    kBodyMessages,  // OpenAI's
    kBodyMessage,
    kBodyPrompt,  // OpenAI's
    kBodyText,
    kBodyInstructions,  // text that stands beside a prompt
    kBodyServiceTier,
    kBodyOtherString,  // a string that no path wants
    kBodyMostOutput    // the first limit of the output: each path of one has an id of its own
};

/** The most paths of limits there can be, so that a word has a bit for each. */
constexpr size_t kMostBodyLimits = 64;

/** Returns the tree of their paths. It is constant and lives as long as the process. */
const JsonPathNode* body_paths();

}  // namespace ai_limit
