#include "core/answers/answer_paths.h"

#include <cstdint>
#include <string_view>

#include "core/answers/answer_count_paths.h"

namespace ai_limit {

namespace {

/** Kinds of answers, as a set: where a path holds. */
using Forms = uint8_t;
constexpr Forms kWhole = 1;    // not streamed, or Gemini's array of chunks
constexpr Forms kEvents = 2;   // server-sent events
constexpr Forms kRecords = 4;  // lines or binary messages
constexpr Forms kStreamed = kEvents | kRecords;
constexpr Forms kAny = kWhole | kStreamed;

using count_paths::kCounts;
using count_paths::kSums;

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
    {"/results/*/generated_text", kAny},  // watsonx
    {"/*/generated_text", kWhole},

    // where the answer ends, and how
    {"/error", kAny, kAnswerError},
    {"/*/error", kWhole, kAnswerError},  // Gemini, in an array
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
    {"/model_id", kAny, kAnswerModel},           // watsonx
    {"/service_tier", kAny, kAnswerTier},
    {"/usage/service_tier", kAny, kAnswerTier},
    {"/message/usage/service_tier", kStreamed, kAnswerTier},
    {"/response/service_tier", kEvents, kAnswerTier},
    {"/serviceTier/type", kWhole | kRecords, kAnswerTier},  // Bedrock

    // images
    {"/data/*/b64_json", kWhole, kAnswerImage},
    {"/data/*/url", kWhole, kAnswerImage},
    {"/predictions/*/bytesBase64Encoded", kWhole, kAnswerImage},
    {"/images/*", kWhole, kAnswerImage},  // models for images on Bedrock
    {"/choices/*/message/images/*/image_url/url", kWhole, kAnswerImage},  // OpenRouter
    {"/choices/*/delta/images/*/image_url/url", kEvents, kAnswerImage},
    {"/candidates/*/content/parts/*/inlineData/mimeType", kAny, kAnswerMediaType},
    {"/*/candidates/*/content/parts/*/inlineData/mimeType", kWhole, kAnswerMediaType},

    // images, sound and embeddings in base64: no text
    {"/data/*/embedding", kWhole, kAnswerIgnored},
    {"/output/*/result", kWhole, kAnswerIgnored},
    {"/choices/*/message/audio/data", kWhole, kAnswerIgnored},
    {"/candidates/*/content/parts/*/inlineData/data", kWhole, kAnswerIgnored},
    {"/*/candidates/*/content/parts/*/inlineData/data", kWhole, kAnswerIgnored},
    {"/outputs/*/data", kWhole, kAnswerIgnored},
    {"/steps/*/content/*/data", kWhole, kAnswerIgnored},

    // searches of the web
    {"/candidates/*/groundingMetadata/webSearchQueries", kAny, kAnswerQueries},
    {"/candidates/*/groundingMetadata/webSearchQueries/*", kAny, kAnswerQuery},
    {"/*/candidates/*/groundingMetadata/webSearchQueries", kWhole, kAnswerQueries},
    {"/*/candidates/*/groundingMetadata/webSearchQueries/*", kWhole, kAnswerQuery},

    // parts of a count, by their names: Gemini, then Bedrock
    {"/usageMetadata/promptTokensDetails/*", kAny, kAnswerInputPart},
    {"/usageMetadata/promptTokensDetails/*/modality", kAny, kAnswerPartName},
    {"/usageMetadata/promptTokensDetails/*/tokenCount", kAny, kAnswerPartCount},
    {"/usageMetadata/candidatesTokensDetails/*", kAny, kAnswerOutputPart},
    {"/usageMetadata/candidatesTokensDetails/*/modality", kAny, kAnswerPartName},
    {"/usageMetadata/candidatesTokensDetails/*/tokenCount", kAny, kAnswerPartCount},
    {"/*/usageMetadata/promptTokensDetails/*", kWhole, kAnswerInputPart},
    {"/*/usageMetadata/promptTokensDetails/*/modality", kWhole, kAnswerPartName},
    {"/*/usageMetadata/promptTokensDetails/*/tokenCount", kWhole, kAnswerPartCount},
    {"/*/usageMetadata/candidatesTokensDetails/*", kWhole, kAnswerOutputPart},
    {"/*/usageMetadata/candidatesTokensDetails/*/modality", kWhole, kAnswerPartName},
    {"/*/usageMetadata/candidatesTokensDetails/*/tokenCount", kWhole, kAnswerPartCount},
    {"/usage/input_tokens_by_modality/*", kWhole, kAnswerInputPart},
    {"/usage/input_tokens_by_modality/*/modality", kWhole, kAnswerPartName},
    {"/usage/input_tokens_by_modality/*/tokens", kWhole, kAnswerPartCount},
    {"/usage/output_tokens_by_modality/*", kWhole, kAnswerOutputPart},
    {"/usage/output_tokens_by_modality/*/modality", kWhole, kAnswerPartName},
    {"/usage/output_tokens_by_modality/*/tokens", kWhole, kAnswerPartCount},
    {"/usage/grounding_tool_count/*", kWhole, kAnswerInputPart},
    {"/usage/grounding_tool_count/*/type", kWhole, kAnswerPartName},
    {"/usage/grounding_tool_count/*/count", kWhole, kAnswerPartCount},
    {"/interaction/usage/input_tokens_by_modality/*", kEvents, kAnswerInputPart},
    {"/interaction/usage/input_tokens_by_modality/*/modality", kEvents, kAnswerPartName},
    {"/interaction/usage/input_tokens_by_modality/*/tokens", kEvents, kAnswerPartCount},
    {"/interaction/usage/output_tokens_by_modality/*", kEvents, kAnswerOutputPart},
    {"/interaction/usage/output_tokens_by_modality/*/modality", kEvents, kAnswerPartName},
    {"/interaction/usage/output_tokens_by_modality/*/tokens", kEvents, kAnswerPartCount},
    {"/interaction/usage/grounding_tool_count/*", kEvents, kAnswerInputPart},
    {"/interaction/usage/grounding_tool_count/*/type", kEvents, kAnswerPartName},
    {"/interaction/usage/grounding_tool_count/*/count", kEvents, kAnswerPartCount},
    {"/usage/cacheDetails/*", kWhole | kRecords, kAnswerInputPart},
    {"/usage/cacheDetails/*/ttl", kWhole | kRecords, kAnswerPartName},
    {"/usage/cacheDetails/*/inputTokens", kWhole | kRecords, kAnswerPartCount},
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
