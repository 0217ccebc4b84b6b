#include "core/request_info.h"

#include <type_traits>

#include "core/json_bytes.h"
#include "core/number.h"

namespace ai_limit {

namespace {

enum Wanted : JsonPathId {
    kBody,
    kModel,
    kStream,
    kStreamOptions,
    kIncludeUsage,
    kMostOutput,
    kAnswers,
    kMessages,  // OpenAI's
    kMessage,
    kPrompt,  // OpenAI's
    kText
};

struct Path {
    std::string_view path;
    Wanted wanted;
};

// The commonest keys of each object first: they are looked for in this order.
constexpr Path kPaths[] = {
    {"", kBody},
    {"/model", kModel},
    {"/messages", kMessages},
    {"/messages/*", kMessage},
    {"/messages/*/content", kText},
    {"/messages/*/content/*/text", kText},
    {"/messages/*/content/*/content", kText},  // Anthropic: tool_result
    {"/messages/*/content/*/content/*/text", kText},
    {"/messages/*/content/*/thinking", kText},
    {"/messages/*/content/*/toolResult/content/*/text", kText},  // Bedrock
    {"/messages/*/content/*/reasoningContent/reasoningText/text", kText},
    {"/messages/*/tool_calls/*/function/arguments", kText},
    {"/messages/*/reasoning_content", kText},
    {"/messages/*/parts/*/text", kText},
    {"/stream", kStream},
    {"/stream_options", kStreamOptions},
    {"/stream_options/include_usage", kIncludeUsage},

    {"/max_tokens", kMostOutput},
    {"/max_completion_tokens", kMostOutput},
    {"/max_output_tokens", kMostOutput},  // Responses
    {"/generationConfig/maxOutputTokens", kMostOutput},
    {"/generationConfig/max_output_tokens", kMostOutput},  // Google's servers read both
    {"/generation_config/maxOutputTokens", kMostOutput},
    {"/generation_config/max_output_tokens", kMostOutput},
    {"/inferenceConfig/maxTokens", kMostOutput},           // Bedrock Converse
    {"/inferenceConfig/max_new_tokens", kMostOutput},      // Bedrock Invoke: Nova
    {"/textGenerationConfig/maxTokenCount", kMostOutput},  // Titan
    {"/max_gen_len", kMostOutput},                         // Llama
    {"/max_tokens_to_sample", kMostOutput},                // Claude 2
    {"/maxTokens", kMostOutput},                           // AI21
    {"/options/num_predict", kMostOutput},                 // Ollama
    {"/n_predict", kMostOutput},                           // llama.cpp
    {"/parameters/max_new_tokens", kMostOutput},           // TGI
    {"/parameters/maxOutputTokens", kMostOutput},          // Vertex predict
    {"/instances/*/max_tokens", kMostOutput},              // vLLM behind Vertex
    {"/parameters/max_tokens", kMostOutput},               // DashScope
    {"/sampling_params/max_new_tokens", kMostOutput},      // SGLang
    {"/sampling_params/*/max_new_tokens", kMostOutput},
    {"/completion_args/max_tokens", kMostOutput},  // Mistral conversations
    {"/input/max_tokens", kMostOutput},            // Replicate
    {"/input/max_new_tokens", kMostOutput},
    {"/input/max_completion_tokens", kMostOutput},
    {"/input/max_output_tokens", kMostOutput},
    {"/input/max_length", kMostOutput},
    {"/n", kAnswers},
    {"/best_of", kAnswers},
    {"/generationConfig/candidateCount", kAnswers},
    {"/generationConfig/candidate_count", kAnswers},
    {"/generation_config/candidateCount", kAnswers},
    {"/generation_config/candidate_count", kAnswers},
    {"/parameters/candidateCount", kAnswers},  // Vertex predict
    {"/parameters/n", kAnswers},               // DashScope
    {"/sampling_params/n", kAnswers},          // SGLang

    {"/system", kText},
    {"/system/*/text", kText},
    {"/prompt", kPrompt},
    {"/prompt/*", kText},
    {"/prompt/*/*", kText},
    {"/suffix", kText},
    {"/input", kText},
    {"/input/*", kMessage},
    {"/input/*/*", kText},
    {"/input/*/content", kText},
    {"/input/*/content/*/text", kText},
    {"/input/*/text", kText},
    {"/input/*/arguments", kText},
    {"/input/*/output", kText},
    {"/input/*/output/*/text", kText},
    {"/instructions", kText},
    {"/contents", kMessage},  // Google's servers take one thing for a list of it
    {"/contents/parts/text", kText},
    {"/contents/parts/*/text", kText},
    {"/contents/*", kMessage},
    {"/contents/*/parts/text", kText},
    {"/contents/*/parts/*/text", kText},
    {"/systemInstruction/parts/text", kText},
    {"/systemInstruction/parts/*/text", kText},
    {"/system_instruction/parts/text", kText},
    {"/system_instruction/parts/*/text", kText},
    {"/content/parts/text", kText},  // Gemini: embedContent
    {"/content/parts/*/text", kText},
    {"/requests/*/content/parts/*/text", kText},  // batchEmbedContents
    {"/instances/*/content", kText},              // Vertex predict
    {"/instances/*/prompt", kText},
    {"/instances/*/text", kText},
    {"/instances/*/context", kText},
    {"/instances/*/messages/*", kMessage},
    {"/instances/*/messages/*/content", kText},
    {"/instances/*/messages/*/content/*/text", kText},
    {"/inputText", kText},    // Titan
    {"/inputs", kText},       // TGI
    {"/inputs/*", kMessage},  // Mistral conversations; TGI's are strings
    {"/inputs/*/content", kText},
    {"/inputs/*/content/*/text", kText},  // also embeddings of Cohere and Voyage
    {"/message", kText},                  // Cohere v1
    {"/preamble", kText},
    {"/chat_history/*/message", kText},
    {"/texts", kText},
    {"/texts/*", kText},              // Cohere embed
    {"/system_prompt", kText},        // LM Studio
    {"/input/messages/*", kMessage},  // DashScope
    {"/input/messages/*/content", kText},
    {"/input/messages/*/content/*/text", kText},
    {"/input/prompt", kText},  // also Replicate
    {"/input/system_prompt", kText},
    {"/input/texts/*", kText},
    {"/input/contents/*/text", kText},
    {"/input/text", kText},  // Gemini interactions take one content for a list of it
    {"/input/*/result", kText},
    {"/input/*/result/*/text", kText},
    {"/system_instruction", kText},
    {"/text", kText},  // SGLang, Workers AI
    {"/text/*", kText},
    {"/input_ids/*", kText},
    {"/input_ids/*/*", kText},
    {"/text_input", kText},    // Triton
    {"/input_text", kText},    // Workers AI
    {"/input_prefix", kText},  // llama.cpp
    {"/input_suffix", kText},
    {"/content", kText},
    {"/query", kText},  // rerankers
    {"/query/text", kText},
    {"/documents/*", kText},
    {"/documents/*/text", kText},
    {"/documents/*/snippet", kText},  // Cohere chat
    {"/documents/*/data", kText},
    {"/documents/*/data/text", kText},
    {"/documents/*/data/snippet", kText},
    {"/passages/*/text", kText},    // NVIDIA
    {"/contexts/*/text", kText},    // Workers AI
    {"/records/*/content", kText},  // Google
    {"/input/query", kText},        // DashScope
    {"/input/query/text", kText},
    {"/input/documents/*", kText},
    {"/input/documents/*/text", kText},
    {"/text_1", kText},  // vLLM's scores
    {"/text_1/*", kText},
    {"/text_2", kText},
    {"/text_2/*", kText},
};

constexpr JsonPathTable<250> kTree = make_json_path_table<250>(kPaths);
static_assert(kTree.error == nullptr);

constexpr uint64_t kCharactersPerToken = 4;

bool is_object(const JsonToken& token) {
    return token.kind == JsonToken::kBegin && token.text == "{";
}

Amount at_most(uint64_t value) {
    return value < kMaxAmount ? value : kMaxAmount;
}

}  // namespace

static_assert(std::is_trivially_copyable_v<RequestInfo> && sizeof(RequestInfo) <= 1024);

RequestInfo::RequestInfo() : scanner_(kTree.paths.root()) {}

void RequestInfo::read_path(std::string_view path) {
    const RequestPath read = read_request_path(path);
    path_stream_ = read.stream;
    path_completions_ = read.completions;
    path_model_ = !read.model.empty();
    if (path_model_) {
        model_.assign(read.model);
    }
}

void RequestInfo::feed(std::string_view piece) {
    std::string_view rest = piece;
    while (!rest.empty()) {
        const std::string_view before = rest;
        const JsonToken token = scanner_.next(&rest);
        if (in_options_) {
            look_at_options(before.substr(0, before.size() - rest.size()), token);
        }
        if (token.kind != JsonToken::kNothing) {
            take(token, offset_ + (piece.size() - rest.size()));
        }
    }
    offset_ += piece.size();
}

/** `end` is where in the body the token ends; of a number, where it ends at the earliest. */
void RequestInfo::take(const JsonToken& token, uint64_t end) {
    switch (token.id) {
        case kBody:
            take_root(token, end);
            break;
        case kModel:
            take_model(token);
            break;
        case kStream:
            stream_true_ = token.kind == JsonToken::kTrue;
            stream_false_ = token.kind == JsonToken::kFalse;
            break;
        case kStreamOptions:
            take_stream_options(token, end);
            break;
        case kIncludeUsage:
            take_include_usage(token, end);
            break;
        case kMostOutput:
            take_count(token, &most_output_);
            break;
        case kAnswers:
            take_count(token, &answers_);
            break;
        case kMessages:
            has_prompt_ = true;
            break;
        case kMessage:
            messages_ += is_object(token) ? 1 : 0;
            take_text(token);
            break;
        case kPrompt:
            has_prompt_ = true;
            take_text(token);
            break;
        default:
            take_text(token);
            break;
    }
}

void RequestInfo::take_root(const JsonToken& token, uint64_t end) {
    if (token.kind == JsonToken::kBegin) {
        root_is_object_ = is_object(token);
        stream_options_.root_at = end;
    }
}

void RequestInfo::take_model(const JsonToken& token) {
    if (token.kind != JsonToken::kString || path_model_) {
        return;
    }
    if (token.first) {
        model_.begin();
    }
    model_.append_json(token.text);
    if (token.last) {
        model_.end();
    }
}

/** A number in the place of text is a token of the prompt. */
void RequestInfo::take_text(const JsonToken& token) {
    if (token.kind == JsonToken::kNumber) {
        ++prompt_tokens_;
    }
    if (token.kind != JsonToken::kString) {
        return;
    }
    if (token.first) {
        characters_.begin_string();
    }
    characters_.add(token.text);
}

void RequestInfo::take_count(const JsonToken& token, Amount* largest) {
    if (token.kind != JsonToken::kNumber) {
        return;
    }
    const bool negative = !token.text.empty() && token.text.front() == '-';
    Amount count = kMaxAmount;  // also of a number that is too large, or no count
    if (!negative) {
        read_json_count(token.text, &count);
        *largest = count > *largest ? count : *largest;
    }
    if (token.id == kMostOutput) {
        limited_ = true;
        endless_ = endless_ || negative;
    }
}

void RequestInfo::take_stream_options(const JsonToken& token, uint64_t end) {
    if (token.kind == JsonToken::kEnd) {
        in_options_ = false;
        return;
    }
    if (token.kind == JsonToken::kString && !token.first) {
        return;
    }
    // Another one of the same name takes the place of the first.
    const uint64_t root_at = stream_options_.root_at;
    stream_options_ = StreamOptionsPlace();
    stream_options_.root_at = root_at;
    stream_options_.options = is_object(token)                 ? StreamOptionsPlace::kObject
                              : token.kind == JsonToken::kNull ? StreamOptionsPlace::kNull
                                                               : StreamOptionsPlace::kOther;
    in_options_ = token.kind == JsonToken::kBegin;
    constexpr std::string_view kNullText = "null";
    stream_options_.options_at = token.kind == JsonToken::kNull ? end - kNullText.size() : end;
}

void RequestInfo::take_include_usage(const JsonToken& token, uint64_t end) {
    switch (token.kind) {
        case JsonToken::kTrue:
            stream_options_.include_usage = StreamOptionsPlace::kTrue;
            break;
        case JsonToken::kFalse:
            stream_options_.include_usage = StreamOptionsPlace::kFalse;
            stream_options_.include_usage_at = end - std::string_view("false").size();
            break;
        case JsonToken::kNull:
            stream_options_.include_usage = StreamOptionsPlace::kNull;
            stream_options_.include_usage_at = end - std::string_view("null").size();
            break;
        default:
            stream_options_.include_usage = StreamOptionsPlace::kOther;
            break;
    }
}

/** Within `stream_options`: any byte but white space and its end says that it has a key. */
void RequestInfo::look_at_options(std::string_view used, const JsonToken& token) {
    if (token.kind == JsonToken::kEnd && token.id == kStreamOptions) {
        used.remove_suffix(1);
    }
    for (size_t i = 0; i < used.size() && stream_options_.empty; ++i) {
        stream_options_.empty = is_json_space(used[i]);
    }
}

bool RequestInfo::streams() const {
    switch (path_stream_) {
        case RequestPath::kAlways:
            return true;
        case RequestPath::kUnlessRefused:
            return !stream_false_;
        case RequestPath::kByBody:
            break;
    }
    return stream_true_;
}

bool RequestInfo::most_output(Amount* tokens) const {
    if (!limited_ || endless_) {
        return false;
    }
    const bool fits = most_output_ <= kMaxAmount / answers_;
    *tokens = fits ? most_output_ * answers_ : kMaxAmount;
    return true;
}

Amount RequestInfo::prompt_estimate() const {
    const uint64_t framing = messages_ > 0 ? messages_ + 2 : 0;
    return at_most(characters_.count() / kCharactersPerToken + prompt_tokens_ + framing);
}

bool RequestInfo::malformed() const {
    return failed_ || scanner_.is_malformed() ||
           (finished_ && !scanner_.is_complete() && !scanner_.is_blank());
}

bool RequestInfo::edit_to_include_usage(BodyEdit* edit) const {
    if (!path_completions_ || !has_prompt_ || !stream_true_ || !root_is_object_ ||
        !scanner_.is_complete() || !is_plain_ || failed_ ||
        !ai_limit::edit_to_include_usage(stream_options_, edit)) {
        return false;
    }
    edit->offset += text_at_;
    return true;
}

}  // namespace ai_limit
