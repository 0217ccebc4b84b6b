#include "core/edits/output_fields.h"

#include <iterator>

#include "core/words/ascii_case.h"

namespace ai_limit {

namespace {

/** Each field, in any object; body_paths.cpp has the same ones. The first two are the most
 * frequent. */
constexpr std::string_view kFields[] = {
    "/max_tokens",
    "/max_completion_tokens",
    "/max_output_tokens",
    "/generationConfig/maxOutputTokens",
    "/generationConfig/max_output_tokens",
    "/generation_config/maxOutputTokens",
    "/generation_config/max_output_tokens",
    "/generationconfig/maxoutputtokens",  // gateways in Go take keys in any case
    "/generationConfig/maxoutputtokens",
    "/generationconfig/maxOutputTokens",
    "/inferenceConfig/maxTokens",
    "/inferenceConfig/max_new_tokens",
    "/textGenerationConfig/maxTokenCount",
    "/max_gen_len",
    "/max_tokens_to_sample",
    "/maxTokens",
    "/options/num_predict",
    "/n_predict",
    "/parameters/max_new_tokens",
    "/parameters/maxOutputTokens",
    "/parameters/max_tokens",
    "/instances/*/max_tokens",
    "/sampling_params/max_new_tokens",
    "/sampling_params/*/max_new_tokens",
    "/completion_args/max_tokens",
    "/completionOptions/maxTokens",
    "/input/max_tokens",
    "/input/max_new_tokens",
    "/input/max_completion_tokens",
    "/input/max_output_tokens",
    "/input/max_length",
};
constexpr size_t kFieldCount = std::size(kFields);
static_assert(kFieldCount <= kFirstOutputObject);

constexpr std::string_view kObjects[] = {
    "/generationConfig",
    "/generation_config",
    "/generationconfig",
    "/inferenceConfig",
    "/textGenerationConfig",
    "/options",
    "/parameters",
    "/sampling_params",
    "/completion_args",
    "/completionOptions",
    "/input",
};
static_assert(std::size(kObjects) <= kOutputRoot - kFirstOutputObject);

struct OtherPath {
    std::string_view path;
    OutputValue wanted;
};

constexpr OtherPath kOtherPaths[] = {
    {"", kOutputRoot},
    {"/messages", kOutputMessages},
    {"/prompt", kOutputPrompt},
    {"/inputs", kOutputInputs},
    {"/text", kOutputText},
    {"/text_input", kOutputTextInput},
    {"/prompt/*", kOutputAnswer},
    {"/text/*", kOutputAnswer},
    {"/input_ids/*", kOutputAnswer},
    {"/instances/*", kOutputAnswer},
};

template <size_t kCapacity>
constexpr const char* add_all(JsonPaths<kCapacity>* paths) {
    for (size_t i = 0; i < kFieldCount; ++i) {
        if (const char* error =
                paths->add(kFields[i], static_cast<JsonPathId>(i), JsonPathStar::kEveryElement)) {
            return error;
        }
    }
    for (size_t i = 0; i < std::size(kObjects); ++i) {
        const auto id = static_cast<JsonPathId>(kFirstOutputObject + i);
        if (const char* error = paths->add(kObjects[i], id, JsonPathStar::kEveryElement)) {
            return error;
        }
    }
    for (const OtherPath& row : kOtherPaths) {
        if (const char* error = paths->add(row.path, row.wanted, JsonPathStar::kEveryElement)) {
            return error;
        }
    }
    return nullptr;
}

constexpr JsonPathTable<100> make_tree() {
    JsonPathTable<100> table;
    table.error = add_all(&table.paths);
    return table;
}

constexpr JsonPathTable<100> kTree = make_tree();
static_assert(kTree.error == nullptr);

/** Finds the keys in the text of a member, which have no quotes in them. */
constexpr OutputMember make_member(std::string_view text) {
    OutputMember member;
    member.text = text;
    for (size_t at = 0; at < text.size();) {
        const size_t end = text.find(':', text.find('"', at + 1));
        member.key_at[member.depth] = static_cast<uint16_t>(at);
        member.value_at[member.depth] = static_cast<uint16_t>(end + 1);
        ++member.depth;
        at = end + 1 + (end + 1 < text.size() ? 1 : 0);  // behind a brace
    }
    return member;
}

constexpr OutputMember kNoMember = {};
constexpr OutputMember kMaxTokens = make_member(R"("max_tokens":)");
constexpr OutputMember kMaxCompletionTokens = make_member(R"("max_completion_tokens":)");
constexpr OutputMember kMaxOutputTokens = make_member(R"("max_output_tokens":)");
constexpr OutputMember kMaxTokensToSample = make_member(R"("max_tokens_to_sample":)");
constexpr OutputMember kMaxGenLen = make_member(R"("max_gen_len":)");
constexpr OutputMember kJurassic = make_member(R"("maxTokens":)");
constexpr OutputMember kNPredict = make_member(R"("n_predict":)");
constexpr OutputMember kGemini = make_member(R"("generationConfig":{"maxOutputTokens":)");
constexpr OutputMember kInteractions = make_member(R"("generation_config":{"max_output_tokens":)");
constexpr OutputMember kConverse = make_member(R"("inferenceConfig":{"maxTokens":)");
constexpr OutputMember kTitan = make_member(R"("textGenerationConfig":{"maxTokenCount":)");
constexpr OutputMember kOllama = make_member(R"("options":{"num_predict":)");
constexpr OutputMember kNewTokens = make_member(R"("parameters":{"max_new_tokens":)");
constexpr OutputMember kDashScope = make_member(R"("parameters":{"max_tokens":)");
constexpr OutputMember kSampling = make_member(R"("sampling_params":{"max_new_tokens":)");
constexpr OutputMember kMistral = make_member(R"("completion_args":{"max_tokens":)");
constexpr OutputMember kYandex = make_member(R"("completionOptions":{"maxTokens":)");

constexpr bool is_path_of(std::string_view path, std::string_view object, std::string_view key) {
    const size_t slash = path.rfind('/');
    return path.substr(slash + 1) == key &&
           (slash == 0 ? object.empty() : path.substr(1, slash - 1) == object);
}

/** The number of the field that a member sets; kNoJsonPath if it is none of the table. */
constexpr JsonPathId field_number(const OutputMember& member) {
    const auto key = [&member](size_t i) {
        const size_t at = member.key_at[i] + 1u;
        return member.text.substr(at, member.text.find('"', at) - at);
    };
    for (size_t i = 0; i < kFieldCount; ++i) {
        if (member.depth == 1 ? is_path_of(kFields[i], {}, key(0))
                              : member.depth == 2 && is_path_of(kFields[i], key(0), key(1))) {
            return static_cast<JsonPathId>(i);
        }
    }
    return kNoJsonPath;
}

constexpr OutputFieldSet field_of(const OutputMember& member) {
    const JsonPathId number = field_number(member);
    return number == kNoJsonPath ? 0 : OutputFieldSet{1} << number;
}

constexpr uint64_t objects_of(OutputFieldSet fields) {
    uint64_t objects = 0;
    for (size_t i = 0; i < kFieldCount; ++i) {
        const std::string_view object = kFields[i].substr(0, kFields[i].rfind('/'));
        for (size_t j = 0; j < std::size(kObjects); ++j) {
            if ((fields >> i & 1) != 0 && kObjects[j] == object) {
                objects |= uint64_t{1} << j;
            }
        }
    }
    return objects;
}

constexpr OutputFieldSet kChatFields = field_of(kMaxTokens) | field_of(kMaxCompletionTokens);
/** The four ways in which Google's servers read the field. */
constexpr OutputFieldSet kGeminiFields = OutputFieldSet{0xf} << 3;
static_assert((kGeminiFields & field_of(kGemini)) != 0 &&
              (kGeminiFields & field_of(kInteractions)) != 0 && kFields[3][1] == 'g' &&
              kFields[6].back() == 's' && kFields[7] == "/generationconfig/maxoutputtokens");

constexpr OutputApi api(std::string_view path_end, const OutputMember& member,
                        std::string_view path_part = {}, JsonPathId root_key = kNoJsonPath,
                        OutputFieldSet more = 0) {
    const OutputFieldSet fields = field_of(member) | more;
    return {path_end, path_part, fields, objects_of(fields), member, field_number(member),
            root_key};
}

// Of several rows for a request the first one counts. Sources: the OpenAPI descriptions and SDKs of
// the providers; where one server differs from the others on the same path, `field=` is meant for
// it (Mistral's own API refuses max_completion_tokens with 422).
constexpr OutputApi kApis[] = {
    api("/chat/completions", kMaxCompletionTokens, {}, kNoJsonPath, kChatFields),
    api("/completions", kMaxTokens),
    api("/responses", kMaxOutputTokens),
    api("/messages", kNoMember, "/threads/"),  // OpenAI's assistants: a message is no question
    api("/messages", kMaxTokens),
    api("/complete", kMaxTokensToSample),
    api(":generateContent", kGemini, {}, kNoJsonPath, kGeminiFields),
    api(":streamGenerateContent", kGemini, {}, kNoJsonPath, kGeminiFields),
    api(":rawPredict", kMaxTokens, {}, kOutputMessages),
    api(":streamRawPredict", kMaxTokens, {}, kOutputMessages),
    api("/interactions", kInteractions, {}, kNoJsonPath, kGeminiFields),
    api("/api/chat", kOllama),
    api("/api/generate", kOllama),
    api("/api/v1/chat", kMaxOutputTokens),  // LM Studio
    api("/v1/chat", kMaxTokens),            // Cohere
    api("/v2/chat", kMaxTokens),
    api("/ml/v1/text/chat", kMaxTokens, {}, kNoJsonPath, kChatFields),  // watsonx
    api("/ml/v1/text/chat_stream", kMaxTokens, {}, kNoJsonPath, kChatFields),
    api("/ml/v1/text/generation", kNewTokens),
    api("/ml/v1/text/generation_stream", kNewTokens),
    api("/conversations", kMistral),
    api("/aigc/text-generation/generation", kDashScope),
    api("/foundationModels/v1/completion", kYandex),
    api("/completion", kNPredict),  // llama.cpp
    api("/infill", kNPredict),
    // Text Generation Inference, SGLang, Triton, vLLM's demonstration server
    api("/generate", kNewTokens, {}, kOutputInputs),
    api("/generate", kSampling, {}, kOutputText),
    api("/generate", kMaxTokens, {}, kOutputTextInput),
    api("/generate", kMaxTokens, {}, kOutputPrompt),
    api("/generate_stream", kMaxTokens, {}, kOutputTextInput),
    api("/generate_stream", kNewTokens, {}, kOutputInputs),
    // Bedrock
    api("/converse", kConverse, "/model/"),
    api("/converse-stream", kConverse, "/model/"),
    api("/invoke", kMaxTokens, "anthropic.claude", kOutputMessages),
    api("/invoke", kMaxTokensToSample, "anthropic.claude", kOutputPrompt),
    api("/invoke", kConverse, "amazon.nova", kOutputMessages),
    api("/invoke", kTitan, "amazon.titan-text"),
    api("/invoke", kMaxGenLen, "meta.llama"),
    api("/invoke", kJurassic, "ai21.j2"),
    api("/invoke", kMaxTokens, "ai21.jamba"),
    api("/invoke", kMaxTokens, "mistral."),
    api("/invoke", kMaxTokens, "deepseek."),
    api("/invoke", kMaxTokens, "qwen."),
    api("/invoke", kMaxTokens, "cohere.command"),
    api("/invoke", kMaxCompletionTokens, "openai.", kNoJsonPath, kChatFields),
    // Workers AI
    api({}, kMaxTokens, "/ai/run/", kOutputMessages),
};

constexpr std::string_view kStreamedInvoke = "/invoke-with-response-stream";
constexpr std::string_view kInvoke = "/invoke";

constexpr bool has_fields() {
    for (const OutputApi& row : kApis) {
        if (row.member.depth != 0 && field_of(row.member) == 0) {
            return false;
        }
    }
    return true;
}
static_assert(has_fields(), "the field of each member is in kFields");

/** Paths match in any case, as servers on ASP.NET and Express match them. */
bool equals_in_any_case(std::string_view a, std::string_view b) {
    if (a.size() != b.size()) {
        return false;
    }
    for (size_t i = 0; i < b.size(); ++i) {
        if (lower(a[i]) != lower(b[i])) {
            return false;
        }
    }
    return true;
}

bool ends_with(std::string_view text, std::string_view end) {
    return text.size() >= end.size() &&
           equals_in_any_case(text.substr(text.size() - end.size()), end);
}

bool contains(std::string_view text, std::string_view part) {
    for (size_t at = 0; at + part.size() <= text.size(); ++at) {
        if (equals_in_any_case(text.substr(at, part.size()), part)) {
            return true;
        }
    }
    return false;
}

}  // namespace

bool is_output_api_of(const OutputApi& api, std::string_view path) {
    while (ends_with(path, "/")) {
        path.remove_suffix(1);
    }
    if (ends_with(path, kStreamedInvoke)) {  // as without the stream
        path.remove_suffix(kStreamedInvoke.size() - kInvoke.size());
    }
    return ends_with(path, api.path_end) && contains(path, api.path_part);
}

size_t first_output_api(std::string_view path) {
    size_t number = 0;
    while (number < std::size(kApis) && !is_output_api_of(kApis[number], path)) {
        ++number;
    }
    return number;
}

const OutputApi* output_api(size_t number) {
    return number < std::size(kApis) ? &kApis[number] : nullptr;
}

uint8_t output_field_depth(JsonPathId field) {
    const std::string_view path = kFields[field];
    if (path.find('*') != path.npos) {
        return 0;
    }
    return path.rfind('/') == 0 ? 1 : 2;
}

bool is_endless_if_zero(JsonPathId field) {
    return field == field_number(kOllama);
}

const JsonPathNode* output_paths() {
    return kTree.paths.root();
}

const char* OwnOutputField::add_key(std::string_view token) {
    OutputMember* member = &api_.member;
    if (member->depth == OutputMember::kMostKeys) {
        return "it has more than 4 keys";
    }
    if (token.empty() || token.size() > kMaxJsonKey) {
        return "a key has 1 to 64 bytes";
    }
    const auto put = [this](char c) { text_[text_size_++] = c; };
    if (member->depth != 0) {
        put('{');
    }
    member->key_at[member->depth] = static_cast<uint16_t>(text_size_);
    put('"');
    for (size_t i = 0; i < token.size(); ++i) {
        char c = token[i];
        if (c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20) {
            return "a key has no quotes, backslashes or control characters";
        }
        if (c == '~' && i + 1 < token.size()) {
            c = token[++i] == '1' ? '/' : '~';
        }
        put(c);
    }
    put('"');
    put(':');
    member->value_at[member->depth++] = static_cast<uint16_t>(text_size_);
    return nullptr;
}

const char* OwnOutputField::set(std::string_view pointer) {
    if (pointer.empty() || pointer.front() != '/') {
        return "a JSON Pointer begins with a slash";
    }
    if (const char* error = add_all(&paths_)) {
        return error;
    }
    api_ = OutputApi();
    api_.root_key = kNoJsonPath;
    api_.field = kOwnOutputField;
    for (size_t slash = 0; slash != pointer.npos;) {
        const size_t end = pointer.find('/', slash + 1);
        const bool last = end == pointer.npos;
        const auto id =
            static_cast<JsonPathId>(last ? kOwnOutputField : kOwnOutputObject + api_.member.depth);
        if (const char* error = paths_.add(pointer.substr(0, end), id, JsonPathStar::kKey)) {
            return error;
        }
        if (const char* error = add_key(pointer.substr(slash + 1, end - slash - 1))) {
            return error;
        }
        slash = end;
    }
    api_.member.text = {text_, text_size_};
    return nullptr;
}

}  // namespace ai_limit
