#include "core/answer_paths.h"

#include <cstdint>
#include <string_view>

namespace ai_limit {

namespace {

/** Kinds of answers, as a set: where a path holds. */
using Forms = uint8_t;
constexpr Forms kWhole = 1;    // not streamed, or Gemini's array of chunks
constexpr Forms kEvents = 2;   // server-sent events
constexpr Forms kRecords = 4;  // lines or binary messages
constexpr Forms kStreamed = kEvents | kRecords;
constexpr Forms kAny = kWhole | kStreamed;

// the counts

struct CountPath {
    std::string_view path;
    UsageField field;
    UsageSource source = UsageSource::kModel;
};

using F = UsageField;
using S = UsageSource;

constexpr CountPath kCounts[] = {
    // OpenAI: chat, completions, embeddings; Mistral, vLLM, llama.cpp and most others
    {"/usage/prompt_tokens", F::kPrompt},
    {"/usage/completion_tokens", F::kOutput},
    {"/usage/total_tokens", F::kTotal},
    {"/usage/prompt_tokens_details/cached_tokens", F::kCached},
    {"/usage/completion_tokens_details/reasoning_tokens", F::kReasoning},
    {"/usage/prompt_cache_hit_tokens", F::kCached},  // DeepSeek
    {"/usage/cached_tokens", F::kCached},            // Moonshot
    {"/x_groq/usage/prompt_tokens", F::kPrompt},     // Groq, streamed
    {"/x_groq/usage/completion_tokens", F::kOutput},
    {"/x_groq/usage/total_tokens", F::kTotal},

    // Anthropic messages and OpenAI Responses, which write the same names: where no
    // cache_… stands beside input_tokens, it is the whole input
    {"/usage/input_tokens", F::kInput},
    {"/usage/output_tokens", F::kOutput},
    {"/usage/cache_creation_input_tokens", F::kCacheWrite},
    {"/usage/cache_read_input_tokens", F::kCacheRead},
    {"/usage/input_tokens_details/cached_tokens", F::kCached},
    {"/message/usage/input_tokens", F::kInput},  // message_start
    {"/message/usage/output_tokens", F::kOutput},
    {"/message/usage/cache_creation_input_tokens", F::kCacheWrite},
    {"/message/usage/cache_read_input_tokens", F::kCacheRead},
    {"/response/usage/input_tokens", F::kInput},  // response.completed and others
    {"/response/usage/output_tokens", F::kOutput},
    {"/response/usage/total_tokens", F::kTotal},
    {"/response/usage/input_tokens_details/cached_tokens", F::kCached},

    // Gemini, Vertex; without alt=sse in an array
    {"/usageMetadata/promptTokenCount", F::kPrompt},
    {"/usageMetadata/candidatesTokenCount", F::kOutput},
    {"/usageMetadata/thoughtsTokenCount", F::kThoughts},
    {"/usageMetadata/cachedContentTokenCount", F::kCached},
    {"/usageMetadata/totalTokenCount", F::kTrueTotal},
    {"/*/usageMetadata/promptTokenCount", F::kPrompt},
    {"/*/usageMetadata/candidatesTokenCount", F::kOutput},
    {"/*/usageMetadata/thoughtsTokenCount", F::kThoughts},
    {"/*/usageMetadata/cachedContentTokenCount", F::kCached},
    {"/*/usageMetadata/totalTokenCount", F::kTrueTotal},

    // Cohere
    {"/usage/tokens/input_tokens", F::kInput},
    {"/usage/tokens/output_tokens", F::kOutput},
    {"/usage/billed_units/input_tokens", F::kInput, S::kBilled},
    {"/usage/billed_units/output_tokens", F::kOutput, S::kBilled},
    {"/delta/usage/tokens/input_tokens", F::kInput},  // message-end
    {"/delta/usage/tokens/output_tokens", F::kOutput},
    {"/delta/usage/billed_units/input_tokens", F::kInput, S::kBilled},
    {"/delta/usage/billed_units/output_tokens", F::kOutput, S::kBilled},
    {"/meta/tokens/input_tokens", F::kInput},  // embed; version 1
    {"/meta/tokens/output_tokens", F::kOutput},
    {"/meta/billed_units/input_tokens", F::kInput, S::kBilled},
    {"/meta/billed_units/output_tokens", F::kOutput, S::kBilled},

    // Ollama, llama.cpp's and TGI's own APIs
    {"/prompt_eval_count", F::kPrompt},
    {"/eval_count", F::kOutput},
    {"/tokens_evaluated", F::kPrompt},
    {"/tokens_predicted", F::kOutput},
    {"/details/input_length", F::kPrompt},
    {"/details/generated_tokens", F::kOutput},

    // Bedrock: Converse and its event `metadata`, Nova, what it adds to any model's stream
    {"/usage/inputTokens", F::kInput},
    {"/usage/outputTokens", F::kOutput},
    {"/usage/totalTokens", F::kTotal},
    {"/usage/cacheReadInputTokens", F::kCacheRead},
    {"/usage/cacheWriteInputTokens", F::kCacheWrite},
    {"/metadata/usage/inputTokens", F::kInput},
    {"/metadata/usage/outputTokens", F::kOutput},
    {"/metadata/usage/totalTokens", F::kTotal},
    {"/metadata/usage/cacheReadInputTokens", F::kCacheRead},
    {"/metadata/usage/cacheWriteInputTokens", F::kCacheWrite},
    {"/amazon-bedrock-invocationMetrics/inputTokenCount", F::kInput, S::kServer},
    {"/amazon-bedrock-invocationMetrics/outputTokenCount", F::kOutput, S::kServer},
    {"/amazon-bedrock-invocationMetrics/cacheReadInputTokenCount", F::kCacheRead, S::kServer},
    {"/amazon-bedrock-invocationMetrics/cacheWriteInputTokenCount", F::kCacheWrite, S::kServer},
};

// the texts

struct TextPath {
    std::string_view path;
    Forms forms;
    AnswerValue value = kAnswerText;
};

// The commonest keys of each object first: they are looked for in this order. A stream that
// repeats at its end what it has sent does so under names that are not listed for it.
constexpr TextPath kTexts[] = {
    // OpenAI: chat and completions, and those who speak like it
    {"/choices/*/delta/content", kStreamed},
    {"/choices/*/delta/content/*/text", kStreamed},  // Mistral
    {"/choices/*/delta/content/*/thinking/*/text", kStreamed},
    {"/choices/*/delta/reasoning_content", kStreamed, kAnswerReasoningContent},
    {"/choices/*/delta/reasoning", kStreamed, kAnswerReasoning},
    {"/choices/*/delta/refusal", kStreamed},
    {"/choices/*/delta/tool_calls/*/function/arguments", kStreamed, kAnswerArguments},
    {"/choices/*/delta/tool_calls/*/custom/input", kStreamed},
    {"/choices/*/delta/function_call/arguments", kStreamed},
    {"/choices/*/message/content", kWhole},
    {"/choices/*/message/content/*/text", kWhole},
    {"/choices/*/message/content/*/thinking/*/text", kWhole},
    {"/choices/*/message/reasoning_content", kWhole, kAnswerReasoningContent},
    {"/choices/*/message/reasoning", kWhole, kAnswerReasoning},
    {"/choices/*/message/refusal", kWhole},
    {"/choices/*/message/tool_calls/*/function/arguments", kWhole, kAnswerArguments},
    {"/choices/*/message/tool_calls/*/custom/input", kWhole},
    {"/choices/*/message/function_call/arguments", kWhole},
    {"/choices/*/text", kAny},

    // OpenAI Responses
    {"/type", kEvents, kAnswerType},
    {"/delta", kEvents, kAnswerDelta},
    {"/sequence_number", kEvents, kAnswerIgnored},
    {"/obfuscation", kEvents, kAnswerIgnored},  // chat has it as well
    {"/output/*/content/*/text", kWhole},
    {"/output/*/content/*/refusal", kWhole},
    {"/output/*/summary/*/text", kWhole},
    {"/output/*/arguments", kWhole, kAnswerArguments},
    {"/output/*/input", kWhole},
    {"/output/*/code", kWhole},

    // Anthropic messages, and Claude 2 on Bedrock
    {"/delta/text", kStreamed},
    {"/delta/thinking", kStreamed},
    {"/delta/partial_json", kStreamed},
    {"/content_block/text", kStreamed},
    {"/content_block/thinking", kStreamed},
    {"/content/*/text", kWhole},
    {"/content/*/thinking", kWhole},
    {"/content/*/input", kWhole, kAnswerArguments},
    {"/completion", kAny},

    // Gemini, Vertex; without alt=sse in an array
    {"/candidates/*/content/parts/*/text", kAny},
    {"/candidates/*/content/parts/*/functionCall/args", kAny, kAnswerArguments},
    {"/candidates/*/content/parts/*/executableCode/code", kAny},
    {"/*/candidates/*/content/parts/*/text", kWhole},
    {"/*/candidates/*/content/parts/*/functionCall/args", kWhole, kAnswerArguments},
    {"/*/candidates/*/content/parts/*/executableCode/code", kWhole},

    // Cohere
    {"/delta/message/content/text", kStreamed},
    {"/delta/message/content/thinking", kStreamed},
    {"/delta/message/tool_plan", kStreamed},
    {"/delta/message/tool_calls/function/arguments", kStreamed},
    {"/message/content/*/text", kWhole},
    {"/message/content/*/thinking", kWhole},
    {"/message/tool_plan", kWhole},
    {"/text", kWhole | kRecords},  // version 1; as an event, it repeats a Responses' text

    // Ollama: chat and generate. Cohere's tool calls look the same when whole
    {"/message/content", kWhole | kRecords},
    {"/message/thinking", kWhole | kRecords},
    {"/message/tool_calls/*/function/arguments", kWhole | kRecords, kAnswerArguments},
    {"/response", kWhole | kRecords},
    {"/thinking", kWhole | kRecords},

    // Bedrock: Converse, then Nova, Titan, Llama and Mistral
    {"/output/message/content/*/text", kWhole},
    {"/output/message/content/*/toolUse/input", kWhole, kAnswerArguments},
    {"/output/message/content/*/reasoningContent/reasoningText/text", kWhole},
    {"/delta/toolUse/input", kRecords},
    {"/delta/reasoningContent/text", kRecords},
    {"/contentBlockDelta/delta/text", kRecords},
    {"/contentBlockDelta/delta/toolUse/input", kRecords},
    {"/contentBlockDelta/delta/reasoningContent/text", kRecords},
    {"/outputText", kRecords},
    {"/results/*/outputText", kWhole},
    {"/generation", kWhole | kRecords},
    {"/outputs/*/text", kWhole | kRecords},

    // llama.cpp's and TGI's own APIs
    {"/content", kAny},
    {"/token/text", kEvents},
    {"/generated_text", kWhole},
    {"/*/generated_text", kWhole},
};

constexpr Forms form_of(AnswerKind kind) {
    switch (kind) {
        case AnswerKind::kSse:
            return kEvents;
        case AnswerKind::kLines:
        case AnswerKind::kEventStream:
            return kRecords;
        case AnswerKind::kJson:
        case AnswerKind::kOther:
            break;
    }
    return kWhole;
}

template <size_t kCapacity>
constexpr const char* add_texts(Forms form, JsonPaths<kCapacity>* paths) {
    const char* error = nullptr;
    for (const TextPath& row : kTexts) {
        if ((row.forms & form) != 0 && error == nullptr) {
            error = paths->add(row.path, row.value, JsonPathStar::kEveryElement);
        }
    }
    return error;
}

struct Tree {
    AnswerPaths paths;
    const char* error = nullptr;
};

constexpr const char* add_counts(const CountPath* rows, size_t count, AnswerPaths* paths) {
    const char* error = nullptr;
    for (size_t i = 0; i < count && error == nullptr; ++i) {
        const JsonPathId id = count_path_id(rows[i].source, rows[i].field);
        error = paths->add(rows[i].path, id, JsonPathStar::kEveryElement);
    }
    return error;
}

constexpr Tree make_tree(Forms form) {
    Tree tree;
    const char* errors[] = {
        add_counts(kCounts, 1, &tree.paths),  // nearly every document has /usage
        add_texts(form, &tree.paths),
        add_counts(kCounts, std::size(kCounts), &tree.paths),
    };
    for (const char* error : errors) {
        tree.error = error != nullptr ? error : tree.error;
    }
    return tree;
}

constexpr Tree kWholeTree = make_tree(kWhole);
constexpr Tree kEventsTree = make_tree(kEvents);
constexpr Tree kRecordsTree = make_tree(kRecords);
static_assert(kWholeTree.error == nullptr && kEventsTree.error == nullptr &&
              kRecordsTree.error == nullptr);

constexpr bool leaves_room(Forms form) {
    JsonPaths<kAnswerPathNodes - kNodesBesideTexts> paths;
    return add_texts(form, &paths) == nullptr;
}

static_assert(leaves_room(kWhole) && leaves_room(kEvents) && leaves_room(kRecords));

}  // namespace

const JsonPathNode* answer_tree(AnswerKind kind) {
    const Forms form = form_of(kind);
    const Tree& tree = form == kWhole ? kWholeTree : form == kEvents ? kEventsTree : kRecordsTree;
    return tree.paths.root();
}

void add_text_paths(AnswerKind kind, AnswerPaths* paths) {
    add_texts(form_of(kind), paths);
}

}  // namespace ai_limit
