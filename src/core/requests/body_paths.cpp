#include "core/requests/body_paths.h"

#include <iterator>

namespace ai_limit {

namespace {

struct Path {
    std::string_view path;
    JsonPathId wanted;
};

// The commonest keys of each object first: they are looked for in this order.
constexpr Path kPaths[] = {
    {"", kBodyRoot},
    {"/model", kBodyModel},
    {"/messages", kBodyMessages},
    {"/messages/*", kBodyMessage},
    {"/messages/*/content", kBodyText},
    {"/messages/*/content/*/text", kBodyText},
    {"/messages/*/content/*/content", kBodyText},  // Anthropic: tool_result
    {"/messages/*/content/*/content/*/text", kBodyText},
    {"/messages/*/content/*/thinking", kBodyText},
    {"/messages/*/content/*/toolResult/content/*/text", kBodyText},  // Bedrock
    {"/messages/*/content/*/reasoningContent/reasoningText/text", kBodyText},
    {"/messages/*/tool_calls/*/function/arguments", kBodyText},
    {"/messages/*/reasoning_content", kBodyText},
    {"/messages/*/parts/*/text", kBodyText},
    {"/stream", kBodyStream},
    {"/stream_options", kBodyStreamOptions},
    {"/stream_options/include_usage", kBodyIncludeUsage},

    {"/max_tokens", kBodyMostOutput},
    {"/max_completion_tokens", kBodyMostOutput},
    {"/max_output_tokens", kBodyMostOutput},  // Responses
    {"/generationConfig/maxOutputTokens", kBodyMostOutput},
    {"/generationConfig/max_output_tokens", kBodyMostOutput},  // Google's servers read both
    {"/generation_config/maxOutputTokens", kBodyMostOutput},
    {"/generation_config/max_output_tokens", kBodyMostOutput},
    {"/inferenceConfig/maxTokens", kBodyMostOutput},           // Bedrock Converse
    {"/inferenceConfig/max_new_tokens", kBodyMostOutput},      // Bedrock Invoke: Nova
    {"/textGenerationConfig/maxTokenCount", kBodyMostOutput},  // Titan
    {"/max_gen_len", kBodyMostOutput},                         // Llama
    {"/max_tokens_to_sample", kBodyMostOutput},                // Claude 2
    {"/maxTokens", kBodyMostOutput},                           // AI21
    {"/options/num_predict", kBodyMostOutput},                 // Ollama
    {"/n_predict", kBodyMostOutput},                           // llama.cpp
    {"/parameters/max_new_tokens", kBodyMostOutput},           // TGI
    {"/parameters/maxOutputTokens", kBodyMostOutput},          // Vertex predict
    {"/instances/*/max_tokens", kBodyMostOutput},              // vLLM behind Vertex
    {"/parameters/max_tokens", kBodyMostOutput},               // DashScope
    {"/sampling_params/max_new_tokens", kBodyMostOutput},      // SGLang
    {"/sampling_params/*/max_new_tokens", kBodyMostOutput},
    {"/completion_args/max_tokens", kBodyMostOutput},  // Mistral conversations
    {"/input/max_tokens", kBodyMostOutput},            // Replicate
    {"/input/max_new_tokens", kBodyMostOutput},
    {"/input/max_completion_tokens", kBodyMostOutput},
    {"/input/max_output_tokens", kBodyMostOutput},
    {"/input/max_length", kBodyMostOutput},
    {"/n", kBodyAnswers},
    {"/best_of", kBodyAnswers},
    {"/generationConfig/candidateCount", kBodyAnswers},
    {"/generationConfig/candidate_count", kBodyAnswers},
    {"/generation_config/candidateCount", kBodyAnswers},
    {"/generation_config/candidate_count", kBodyAnswers},
    {"/parameters/candidateCount", kBodyAnswers},  // Vertex predict
    {"/parameters/n", kBodyAnswers},               // DashScope
    {"/sampling_params/n", kBodyAnswers},          // SGLang

    {"/service_tier", kBodyServiceTier},
    {"/serviceTier", kBodyServiceTier},
    {"/serviceTier/type", kBodyServiceTier},  // Bedrock

    {"/system", kBodyInstructions},
    {"/system/*/text", kBodyInstructions},
    {"/prompt", kBodyPrompt},
    {"/prompt/*", kBodyText},
    {"/prompt/*/*", kBodyText},
    {"/suffix", kBodyInstructions},
    {"/input", kBodyText},
    {"/input/*", kBodyMessage},
    {"/input/*/*", kBodyText},
    {"/input/*/content", kBodyText},
    {"/input/*/content/*/text", kBodyText},
    {"/input/*/text", kBodyText},
    {"/input/*/arguments", kBodyText},
    {"/input/*/output", kBodyText},
    {"/input/*/output/*/text", kBodyText},
    {"/instructions", kBodyInstructions},
    {"/contents", kBodyMessage},  // Google's servers take one thing for a list of it
    {"/contents/parts/text", kBodyText},
    {"/contents/parts/*/text", kBodyText},
    {"/contents/*", kBodyMessage},
    {"/contents/*/parts/text", kBodyText},
    {"/contents/*/parts/*/text", kBodyText},
    {"/systemInstruction/parts/text", kBodyInstructions},
    {"/systemInstruction/parts/*/text", kBodyInstructions},
    {"/system_instruction/parts/text", kBodyInstructions},
    {"/system_instruction/parts/*/text", kBodyInstructions},
    {"/content/parts/text", kBodyText},  // Gemini: embedContent
    {"/content/parts/*/text", kBodyText},
    {"/requests/*/content/parts/*/text", kBodyText},  // batchEmbedContents
    {"/instances/*/content", kBodyText},              // Vertex predict
    {"/instances/*/prompt", kBodyText},
    {"/instances/*/text", kBodyText},
    {"/instances/*/context", kBodyText},
    {"/instances/*/messages/*", kBodyMessage},
    {"/instances/*/messages/*/content", kBodyText},
    {"/instances/*/messages/*/content/*/text", kBodyText},
    {"/inputText", kBodyText},    // Titan
    {"/inputs", kBodyText},       // TGI
    {"/inputs/*", kBodyMessage},  // Mistral conversations; TGI's are strings
    {"/inputs/*/content", kBodyText},
    {"/inputs/*/content/*/text", kBodyText},  // also embeddings of Cohere and Voyage
    {"/message", kBodyText},                  // Cohere v1
    {"/preamble", kBodyInstructions},
    {"/chat_history/*/message", kBodyText},
    {"/texts", kBodyText},
    {"/texts/*", kBodyText},                // Cohere embed
    {"/system_prompt", kBodyInstructions},  // LM Studio
    {"/input/messages/*", kBodyMessage},    // DashScope
    {"/input/messages/*/content", kBodyText},
    {"/input/messages/*/content/*/text", kBodyText},
    {"/input/prompt", kBodyText},  // also Replicate
    {"/input/system_prompt", kBodyInstructions},
    {"/input/texts/*", kBodyText},
    {"/input/contents/*/text", kBodyText},
    {"/input/text", kBodyText},  // Gemini interactions take one content for a list of it
    {"/input/*/result", kBodyText},
    {"/input/*/result/*/text", kBodyText},
    {"/system_instruction", kBodyInstructions},
    {"/text", kBodyText},  // SGLang, Workers AI
    {"/text/*", kBodyText},
    {"/input_ids/*", kBodyText},
    {"/input_ids/*/*", kBodyText},
    {"/text_input", kBodyText},    // Triton
    {"/input_text", kBodyText},    // Workers AI
    {"/input_prefix", kBodyText},  // llama.cpp
    {"/input_suffix", kBodyText},
    {"/content", kBodyText},
    {"/query", kBodyText},  // rerankers
    {"/query/text", kBodyText},
    {"/documents/*", kBodyText},
    {"/documents/*/text", kBodyText},
    {"/documents/*/snippet", kBodyText},  // Cohere chat
    {"/documents/*/data", kBodyText},
    {"/documents/*/data/text", kBodyText},
    {"/documents/*/data/snippet", kBodyText},
    {"/passages/*/text", kBodyText},    // NVIDIA
    {"/contexts/*/text", kBodyText},    // Workers AI
    {"/records/*/content", kBodyText},  // Google
    {"/input/query", kBodyText},        // DashScope
    {"/input/query/text", kBodyText},
    {"/input/documents/*", kBodyText},
    {"/input/documents/*/text", kBodyText},
    {"/text_1", kBodyText},  // vLLM's scores
    {"/text_1/*", kBodyText},
    {"/text_2", kBodyText},
    {"/text_2/*", kBodyText},
};

constexpr size_t kPathCount = std::size(kPaths);

struct Numbered {
    Path paths[kPathCount];
    size_t limits;
};

/** Gives each limit of the output the next id. */
constexpr Numbered number_limits() {
    Numbered numbered{};
    for (size_t i = 0; i < kPathCount; ++i) {
        numbered.paths[i] = kPaths[i];
        if (kPaths[i].wanted == kBodyMostOutput) {
            numbered.paths[i].wanted = static_cast<JsonPathId>(kBodyMostOutput + numbered.limits++);
        }
    }
    return numbered;
}

constexpr Numbered kNumbered = number_limits();
static_assert(kNumbered.limits <= kMostBodyLimits);

constexpr JsonPathTable<250> kTree = make_json_path_table<250>(kNumbered.paths);
static_assert(kTree.error == nullptr);

}  // namespace

const JsonPathNode* body_paths() {
    return kTree.paths.root();
}

}  // namespace ai_limit
