#pragma once

// The places where answers report counts, for answer_paths.cpp.

#include <string_view>

#include "core/counts/usage_counts.h"

namespace ai_limit {

/** A place of a count in an answer of any kind, as a JSON Pointer. */
struct CountPath {
    std::string_view path;
    UsageField field;
    UsageSource source = UsageSource::kModel;
};

namespace count_paths {

using F = UsageField;
using S = UsageSource;

inline constexpr CountPath kCounts[] = {
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
    {"/usage/num_sources_used", F::kSearches},       // xAI
    {"/usage/seconds", F::kSeconds},                 // OpenAI, transcriptions by duration
    {"/usage/prompt_audio_seconds", F::kSeconds},    // Mistral
    {"/duration", F::kSeconds, S::kBeside},          // of transcriptions with their segments
    {"/usage/image_count", F::kImages},              // DashScope
    {"/usage/cost", F::kCost},                       // OpenRouter
    {"/choices/*/usage/prompt_tokens", F::kPrompt},  // Moonshot, streamed
    {"/choices/*/usage/completion_tokens", F::kOutput},
    {"/choices/*/usage/total_tokens", F::kTotal},
    {"/choices/*/usage/cached_tokens", F::kCached},
    {"/choices/*/usage/prompt_tokens_details/cached_tokens", F::kCached},
    {"/choices/*/usage/completion_tokens_details/reasoning_tokens", F::kReasoning},
    {"/x_groq/usage/prompt_tokens", F::kPrompt},  // Groq, streamed
    {"/x_groq/usage/completion_tokens", F::kOutput},
    {"/x_groq/usage/total_tokens", F::kTotal},
    {"/x_groq/usage/prompt_tokens_details/cached_tokens", F::kCached},
    {"/x_groq/usage/completion_tokens_details/reasoning_tokens", F::kReasoning},

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
    {"/delta/usage/cached_tokens", F::kCached},
    {"/delta/usage/billed_units/input_tokens", F::kInput, S::kBeside},
    {"/delta/usage/billed_units/output_tokens", F::kOutput, S::kBeside},
    {"/meta/tokens/input_tokens", F::kInput},  // embed, rerank; version 1
    {"/meta/tokens/output_tokens", F::kOutput},
    {"/meta/cached_tokens", F::kCached},
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

    // watsonx, one prompt
    {"/results/*/input_token_count", F::kPrompt},
    {"/results/*/generated_token_count", F::kOutput},

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
inline constexpr CountPath kSums[] = {
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

}  // namespace count_paths

}  // namespace ai_limit
