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
    {"/usage/prompt_tokens_details/cache_write_tokens", F::kWritten},
    {"/usage/prompt_tokens_details/audio_tokens", F::kAudioInput},
    {"/usage/completion_tokens_details/reasoning_tokens", F::kReasoning},
    {"/usage/completion_tokens_details/audio_tokens", F::kAudioOutput},
    {"/usage/prompt_cache_hit_tokens", F::kCached},  // DeepSeek
    {"/usage/cached_tokens", F::kCached},            // Moonshot, whole
    {"/usage/num_search_queries", F::kSearches},     // Perplexity
    {"/usage/seconds", F::kSeconds},                 // OpenAI, transcriptions by duration
    {"/choices/*/usage/prompt_tokens", F::kPrompt},  // Moonshot, streamed
    {"/choices/*/usage/completion_tokens", F::kOutput},
    {"/choices/*/usage/total_tokens", F::kTotal},
    {"/choices/*/usage/cached_tokens", F::kCached},
    {"/choices/*/usage/prompt_tokens_details/cached_tokens", F::kCached},
    {"/choices/*/usage/completion_tokens_details/reasoning_tokens", F::kReasoning},
    {"/x_groq/usage/prompt_tokens", F::kPrompt},  // Groq, streamed
    {"/x_groq/usage/completion_tokens", F::kOutput},
    {"/x_groq/usage/total_tokens", F::kTotal},

    // Anthropic messages and OpenAI Responses, which write the same names: where no
    // cache_… stands beside input_tokens, it is the whole input
    {"/usage/input_tokens", F::kInput},
    {"/usage/output_tokens", F::kOutput},
    {"/usage/cache_creation_input_tokens", F::kCacheWrite},
    {"/usage/cache_read_input_tokens", F::kCacheRead},
    {"/usage/cache_creation/ephemeral_5m_input_tokens", F::kCacheWrite5m},
    {"/usage/cache_creation/ephemeral_1h_input_tokens", F::kCacheWrite1h},
    {"/usage/server_tool_use/web_search_requests", F::kSearches},
    {"/message/usage/input_tokens", F::kInput},  // message_start
    {"/message/usage/output_tokens", F::kOutput},
    {"/message/usage/cache_creation_input_tokens", F::kCacheWrite},
    {"/message/usage/cache_read_input_tokens", F::kCacheRead},
    {"/message/usage/cache_creation/ephemeral_5m_input_tokens", F::kCacheWrite5m},
    {"/message/usage/cache_creation/ephemeral_1h_input_tokens", F::kCacheWrite1h},
    {"/message/usage/server_tool_use/web_search_requests", F::kSearches},
    {"/usage/input_tokens_details/cached_tokens", F::kCached},
    {"/usage/input_tokens_details/cache_write_tokens", F::kWritten},
    {"/usage/input_tokens_details/audio_tokens", F::kAudioInput},
    {"/usage/input_token_details/audio_tokens", F::kAudioInput},  // transcriptions
    {"/usage/output_tokens_details/reasoning_tokens", F::kReasoning},
    {"/usage/output_tokens_details/audio_tokens", F::kAudioOutput},
    {"/response/usage/input_tokens", F::kInput},  // response.completed and others
    {"/response/usage/output_tokens", F::kOutput},
    {"/response/usage/total_tokens", F::kTotal},
    {"/response/usage/input_tokens_details/cached_tokens", F::kCached},
    {"/response/usage/input_tokens_details/cache_write_tokens", F::kWritten},
    {"/response/usage/output_tokens_details/reasoning_tokens", F::kReasoning},

    // Gemini, Vertex; without alt=sse in an array
    {"/usageMetadata/promptTokenCount", F::kPrompt},
    {"/usageMetadata/toolUsePromptTokenCount", F::kToolInput},
    {"/usageMetadata/candidatesTokenCount", F::kOutput},
    {"/usageMetadata/thoughtsTokenCount", F::kThoughts},
    {"/usageMetadata/cachedContentTokenCount", F::kCached},
    {"/usageMetadata/totalTokenCount", F::kTrueTotal},
    {"/*/usageMetadata/promptTokenCount", F::kPrompt},
    {"/*/usageMetadata/toolUsePromptTokenCount", F::kToolInput},
    {"/*/usageMetadata/candidatesTokenCount", F::kOutput},
    {"/*/usageMetadata/thoughtsTokenCount", F::kThoughts},
    {"/*/usageMetadata/cachedContentTokenCount", F::kCached},
    {"/*/usageMetadata/totalTokenCount", F::kTrueTotal},

    // Gemini's Interactions; its last event has the whole interaction
    {"/usage/total_input_tokens", F::kPrompt},
    {"/usage/total_tool_use_tokens", F::kToolInput},
    {"/usage/total_output_tokens", F::kOutput},
    {"/usage/total_thought_tokens", F::kThoughts},
    {"/usage/total_cached_tokens", F::kCached},
    {"/interaction/usage/total_input_tokens", F::kPrompt},
    {"/interaction/usage/total_tool_use_tokens", F::kToolInput},
    {"/interaction/usage/total_output_tokens", F::kOutput},
    {"/interaction/usage/total_thought_tokens", F::kThoughts},
    {"/interaction/usage/total_cached_tokens", F::kCached},
    {"/interaction/usage/total_tokens", F::kTotal},
    {"/metadata/total_usage/total_input_tokens", F::kPrompt},
    {"/metadata/total_usage/total_tool_use_tokens", F::kToolInput},
    {"/metadata/total_usage/total_output_tokens", F::kOutput},
    {"/metadata/total_usage/total_thought_tokens", F::kThoughts},
    {"/metadata/total_usage/total_cached_tokens", F::kCached},

    // Vertex: predict
    {"/metadata/tokenMetadata/inputTokenCount/totalTokens", F::kPrompt},
    {"/metadata/tokenMetadata/outputTokenCount/totalTokens", F::kOutput},

    // Cohere
    {"/usage/tokens/input_tokens", F::kInput},
    {"/usage/tokens/output_tokens", F::kOutput},
    {"/usage/billed_units/input_tokens", F::kInput, S::kBeside},
    {"/usage/billed_units/output_tokens", F::kOutput, S::kBeside},
    {"/usage/billed_units/search_units", F::kSearches, S::kBeside},
    {"/delta/usage/tokens/input_tokens", F::kInput},  // message-end
    {"/delta/usage/tokens/output_tokens", F::kOutput},
    {"/delta/usage/billed_units/input_tokens", F::kInput, S::kBeside},
    {"/delta/usage/billed_units/output_tokens", F::kOutput, S::kBeside},
    {"/meta/tokens/input_tokens", F::kInput},  // embed, rerank; version 1
    {"/meta/tokens/output_tokens", F::kOutput},
    {"/meta/billed_units/input_tokens", F::kInput, S::kBeside},
    {"/meta/billed_units/output_tokens", F::kOutput, S::kBeside},
    {"/meta/billed_units/search_units", F::kSearches, S::kBeside},
    {"/response/meta/tokens/input_tokens", F::kInput},  // version 1, stream-end
    {"/response/meta/tokens/output_tokens", F::kOutput},
    {"/response/meta/billed_units/input_tokens", F::kInput, S::kBeside},
    {"/response/meta/billed_units/output_tokens", F::kOutput, S::kBeside},

    // Ollama, llama.cpp's and TGI's own APIs, SGLang's
    {"/prompt_eval_count", F::kPrompt},
    {"/eval_count", F::kOutput},
    {"/prompt_eval_cached_count", F::kCached},
    {"/tokens_evaluated", F::kPrompt},
    {"/tokens_predicted", F::kOutput},
    {"/timings/prompt_n", F::kInput, S::kBeside},
    {"/timings/cache_n", F::kCacheRead, S::kBeside},
    {"/timings/predicted_n", F::kOutput, S::kBeside},
    {"/details/input_length", F::kPrompt},
    {"/details/generated_tokens", F::kOutput},
    {"/meta_info/prompt_tokens", F::kPrompt},
    {"/meta_info/completion_tokens", F::kOutput},
    {"/meta_info/cached_tokens", F::kCached},

    // LM Studio's own API; its last event has the whole answer
    {"/stats/input_tokens", F::kPrompt},
    {"/stats/total_output_tokens", F::kOutput},
    {"/stats/reasoning_output_tokens", F::kReasoning},
    {"/result/stats/input_tokens", F::kPrompt},
    {"/result/stats/total_output_tokens", F::kOutput},
    {"/result/stats/reasoning_output_tokens", F::kReasoning},

    // Workers AI, whole; Yandex
    {"/result/usage/prompt_tokens", F::kPrompt},
    {"/result/usage/completion_tokens", F::kOutput},
    {"/result/usage/total_tokens", F::kTotal},
    {"/result/usage/prompt_tokens_details/cached_tokens", F::kCached},
    {"/result/usage/inputTextTokens", F::kPrompt},
    {"/result/usage/completionTokens", F::kOutput},
    {"/result/usage/totalTokens", F::kTotal},

    // Replicate
    {"/metrics/input_token_count", F::kPrompt},
    {"/metrics/output_token_count", F::kOutput},

    // Bedrock: Converse and its event `metadata`, Nova, Llama and Titan, what it adds to any
    // model's stream
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
    {"/prompt_token_count", F::kPrompt},
    {"/generation_token_count", F::kOutput},
    {"/inputTextTokenCount", F::kPrompt},
    {"/totalOutputTextTokenCount", F::kOutput},
    {"/amazon-bedrock-invocationMetrics/inputTokenCount", F::kInput, S::kBeside},
    {"/amazon-bedrock-invocationMetrics/outputTokenCount", F::kOutput, S::kBeside},
    {"/amazon-bedrock-invocationMetrics/cacheReadInputTokenCount", F::kCacheRead, S::kBeside},
    {"/amazon-bedrock-invocationMetrics/cacheWriteInputTokenCount", F::kCacheWrite, S::kBeside},
};

/** Counts of parts of one document, which are added up. */
constexpr CountPath kSums[] = {
    // Anthropic: each call of a model, if there was more than one
    {"/usage/iterations/*/input_tokens", F::kInput, S::kSteps},
    {"/usage/iterations/*/output_tokens", F::kOutput, S::kSteps},
    {"/usage/iterations/*/cache_creation_input_tokens", F::kCacheWrite, S::kSteps},
    {"/usage/iterations/*/cache_read_input_tokens", F::kCacheRead, S::kSteps},
    {"/usage/iterations/*/cache_creation/ephemeral_1h_input_tokens", F::kCacheWrite1h, S::kSteps},

    {"/predictions/*/embeddings/statistics/token_count", F::kPrompt},  // Vertex
    {"/results/*/tokenCount", F::kOutput},                             // Titan
    {"/*/meta_info/prompt_tokens", F::kPrompt},                        // SGLang, several prompts
    {"/*/meta_info/completion_tokens", F::kOutput},
    {"/*/meta_info/cached_tokens", F::kCached},
};
static_assert(std::size(kSums) <= kFirstOwnSum);

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
    {"/choices/*/delta/audio/transcript", kStreamed},
    {"/choices/*/message/content", kWhole},
    {"/choices/*/message/content/*/text", kWhole},
    {"/choices/*/message/content/*/thinking/*/text", kWhole},
    {"/choices/*/message/reasoning_content", kWhole, kAnswerReasoningContent},
    {"/choices/*/message/reasoning", kWhole, kAnswerReasoning},
    {"/choices/*/message/refusal", kWhole},
    {"/choices/*/message/tool_calls/*/function/arguments", kWhole, kAnswerArguments},
    {"/choices/*/message/tool_calls/*/custom/input", kWhole},
    {"/choices/*/message/function_call/arguments", kWhole},
    {"/choices/*/message/audio/transcript", kWhole},
    {"/choices/*/text", kAny},

    // OpenAI Responses
    {"/type", kStreamed, kAnswerType},
    {"/event_type", kStreamed, kAnswerType},  // Interactions, Cohere
    {"/delta", kEvents, kAnswerDelta},
    {"/sequence_number", kEvents, kAnswerIgnored},
    {"/obfuscation", kEvents, kAnswerIgnored},  // chat has it as well
    {"/output/*/content/*/text", kWhole},
    {"/output/*/content/*/refusal", kWhole},
    {"/output/*/summary/*/text", kWhole},
    {"/output/*/arguments", kWhole, kAnswerArguments},
    {"/output/*/input", kWhole},
    {"/output/*/code", kWhole},
    {"/output/*/type", kWhole, kAnswerItemType},

    // Anthropic messages, and Claude 2 on Bedrock
    {"/delta/text", kStreamed},
    {"/delta/thinking", kStreamed},
    {"/delta/partial_json", kStreamed},
    {"/delta/content", kStreamed},  // of a summary
    {"/content_block/text", kStreamed},
    {"/content_block/thinking", kStreamed},
    {"/content/*/text", kWhole},
    {"/content/*/thinking", kWhole},
    {"/content/*/content", kWhole},  // of a summary
    {"/content/*/input", kWhole, kAnswerArguments},
    {"/completion", kAny},

    // Gemini, Vertex; without alt=sse in an array
    {"/candidates/*/content/parts/*/text", kAny},
    {"/candidates/*/content/parts/*/functionCall/args", kAny, kAnswerArguments},
    {"/candidates/*/content/parts/*/executableCode/code", kAny},
    {"/*/candidates/*/content/parts/*/text", kWhole},
    {"/*/candidates/*/content/parts/*/functionCall/args", kWhole, kAnswerArguments},
    {"/*/candidates/*/content/parts/*/executableCode/code", kWhole},

    // Gemini's Interactions, Vertex: predict
    {"/delta/content/text", kStreamed},
    {"/delta/arguments", kStreamed, kAnswerArguments},
    {"/outputs/*/arguments", kWhole, kAnswerArguments},
    {"/outputs/*/summary/*/text", kWhole},
    {"/steps/*/content/*/text", kWhole},
    {"/steps/*/arguments", kWhole, kAnswerArguments},
    {"/predictions/*", kWhole},
    {"/predictions/*/content", kWhole},
    {"/predictions/*/candidates/*/content", kWhole},

    // Cohere
    {"/delta/message/content/text", kStreamed},
    {"/delta/message/content/thinking", kStreamed},
    {"/delta/message/tool_plan", kStreamed},
    {"/delta/message/tool_calls/function/arguments", kStreamed},
    {"/message/content/*/text", kWhole},
    {"/message/content/*/thinking", kWhole},
    {"/message/tool_plan", kWhole},
    {"/text", kWhole | kRecords},             // version 1
    {"/text", kEvents, kAnswerRepeatedText},  // SGLang; Responses at their end

    // Ollama: chat and generate. Cohere's tool calls look the same when whole
    {"/message/content", kWhole | kRecords},
    {"/message/thinking", kWhole | kRecords},
    {"/message/tool_calls/*/function/arguments", kWhole | kRecords, kAnswerArguments},
    {"/response", kAny},  // Workers AI, streamed
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

    // DashScope, Workers AI, Yandex, Replicate, LM Studio
    {"/output/choices/*/message/content", kWhole},
    {"/output/choices/*/message/content", kStreamed, kAnswerRepeatedText},
    {"/output/choices/*/message/content/*/text", kWhole},
    {"/output/choices/*/message/content/*/text", kStreamed, kAnswerRepeatedText},
    {"/output/choices/*/message/reasoning_content", kWhole},
    {"/output/choices/*/message/reasoning_content", kStreamed, kAnswerRepeatedText},
    {"/output/text", kWhole},
    {"/output/text", kStreamed, kAnswerRepeatedText},
    {"/result/response", kWhole, kAnswerArguments},
    {"/result/alternatives/*/message/text", kWhole},
    {"/result/alternatives/*/message/text", kStreamed, kAnswerRepeatedText},
    {"/output", kWhole},
    {"/output/*", kWhole},
    {"/output/*/content", kWhole},

    // llama.cpp's, TGI's and SGLang's own APIs
    {"/*/text", kWhole},
    {"/content", kAny},
    {"/token/text", kEvents},
    {"/generated_text", kWhole},
    {"/*/generated_text", kWhole},

    // where the answer ends, and how
    {"/error", kAny, kAnswerError},
    {"/response/error", kEvents, kAnswerError},
    {"/done", kStreamed, kAnswerEnd},                            // Ollama
    {"/stop", kStreamed, kAnswerEnd},                            // llama.cpp
    {"/is_finished", kStreamed, kAnswerEnd},                     // Cohere, version 1
    {"/generated_text", kEvents, kAnswerEnd},                    // TGI
    {"/candidates/*/finishReason", kStreamed, kAnswerEnd},       // Gemini
    {"/output/choices/*/finish_reason", kStreamed, kAnswerEnd},  // DashScope
    {"/output/finish_reason", kStreamed, kAnswerEnd},
    {"/result/alternatives/*/status", kStreamed, kAnswerItemType},  // Yandex

    // the model and its service tier
    {"/model", kAny, kAnswerModel},
    {"/message/model", kStreamed, kAnswerModel},
    {"/response/model", kEvents, kAnswerModel},
    {"/modelVersion", kAny, kAnswerModel},
    {"/*/modelVersion", kWhole, kAnswerModel},
    {"/interaction/model", kEvents, kAnswerModel},
    {"/model_instance_id", kAny, kAnswerModel},  // LM Studio
    {"/service_tier", kAny, kAnswerTier},
    {"/usage/service_tier", kAny, kAnswerTier},
    {"/message/usage/service_tier", kStreamed, kAnswerTier},
    {"/response/service_tier", kEvents, kAnswerTier},

    // images
    {"/data/*/b64_json", kWhole, kAnswerImage},
    {"/data/*/url", kWhole, kAnswerImage},
    {"/predictions/*/bytesBase64Encoded", kWhole, kAnswerImage},
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

constexpr const char* add_texts(Forms form, AnswerPaths* paths) {
    const char* error = nullptr;
    for (const TextPath& row : kTexts) {
        if ((row.forms & form) != 0 && error == nullptr) {
            error = paths->add(row.path, row.value, JsonPathStar::kEveryElement);
        }
    }
    return error;
}

constexpr const char* add_counts(const CountPath* rows, size_t count, AnswerPaths* paths) {
    const char* error = nullptr;
    for (size_t i = 0; i < count && error == nullptr; ++i) {
        const JsonPathId id = count_path_id(rows[i].source, rows[i].field);
        error = paths->add(rows[i].path, id, JsonPathStar::kEveryElement);
    }
    return error;
}

constexpr const char* add_sums(AnswerPaths* paths, JsonPathId* sums) {
    const char* error = nullptr;
    for (size_t i = 0; i < std::size(kSums) && error == nullptr; ++i) {
        const auto id = static_cast<JsonPathId>(kFirstAnswerSum + i);
        sums[i] = count_path_id(kSums[i].source, kSums[i].field);
        error = paths->add(kSums[i].path, id, JsonPathStar::kEveryElement);
    }
    return error;
}

constexpr const char* add_all(Forms form, AnswerPaths* paths, JsonPathId* sums) {
    const char* errors[] = {
        add_counts(kCounts, 1, paths),  // nearly every document has /usage
        add_texts(form, paths),
        add_counts(kCounts, std::size(kCounts), paths),
        add_sums(paths, sums),
    };
    for (const char* error : errors) {
        if (error != nullptr) {
            return error;
        }
    }
    return nullptr;
}

struct Tree {
    AnswerPaths paths;
    JsonPathId sums[kAnswerSums] = {};
    const char* error = nullptr;
};

constexpr Tree make_tree(Forms form) {
    Tree tree;
    tree.error = add_all(form, &tree.paths, tree.sums);
    return tree;
}

constexpr Tree kWholeTree = make_tree(kWhole);
constexpr Tree kEventsTree = make_tree(kEvents);
constexpr Tree kRecordsTree = make_tree(kRecords);

constexpr bool is_sound(const Tree& tree) {
    return tree.error == nullptr && tree.paths.size() <= kAnswerPathNodes - kOwnPathNodes;
}

static_assert(is_sound(kWholeTree) && is_sound(kEventsTree) && is_sound(kRecordsTree));

}  // namespace

AnswerTree answer_tree(AnswerKind kind) {
    const Forms form = form_of(kind);
    const Tree& tree = form == kWhole ? kWholeTree : form == kEvents ? kEventsTree : kRecordsTree;
    return {tree.paths.root(), tree.sums};
}

void add_provider_paths(AnswerKind kind, AnswerPaths* paths, JsonPathId* sums) {
    add_all(form_of(kind), paths, sums);
}

}  // namespace ai_limit
