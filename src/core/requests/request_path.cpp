#include "core/requests/request_path.h"

#include <cstddef>

namespace ai_limit {

namespace {

struct Method {
    std::string_view name;
    RequestPath::Stream stream;
    std::string_view usage_field = {};
};

constexpr std::string_view kWholeAnswer = "*";

constexpr Method kGoogleMethods[] = {
    {"generateContent", RequestPath::kByBody, "usageMetadata"},
    {"streamGenerateContent", RequestPath::kAlways, "usageMetadata"},
    {"countTokens", RequestPath::kByBody},
    {"embedContent", RequestPath::kByBody, "usageMetadata"},
    {"batchEmbedContents", RequestPath::kByBody, "usageMetadata"},
    {"batchGenerateContent", RequestPath::kByBody},
    {"asyncBatchEmbedContent", RequestPath::kByBody},
    {"predictLongRunning", RequestPath::kByBody},
    {"predict", RequestPath::kByBody, kWholeAnswer},
    {"rawPredict", RequestPath::kByBody, kWholeAnswer},
    {"streamRawPredict", RequestPath::kAlways, kWholeAnswer},
    {"serverStreamingPredict", RequestPath::kAlways, kWholeAnswer},
};

constexpr Method kBedrockMethods[] = {
    {"converse", RequestPath::kByBody},     {"converse-stream", RequestPath::kAlways},
    {"invoke", RequestPath::kByBody},       {"invoke-with-response-stream", RequestPath::kAlways},
    {"count-tokens", RequestPath::kByBody},
};

constexpr std::string_view kBedrockPrefix = "/model/";
constexpr std::string_view kAzurePrefix = "/openai/deployments/";
constexpr std::string_view kReplicatePrefixes[] = {"/models/", "/deployments/"};
constexpr std::string_view kReplicateEnd = "/predictions";
constexpr std::string_view kWorkersAiPrefix = "/ai/run/";

template <size_t n>
const Method* find_method(const Method (&methods)[n], std::string_view name) {
    for (const Method& method : methods) {
        if (method.name == name) {
            return &method;
        }
    }
    return nullptr;
}

bool ends_with(std::string_view text, std::string_view end) {
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

/** Returns the text behind the first `prefix`; empty if there is none. */
std::string_view behind(std::string_view path, std::string_view prefix) {
    const size_t at = path.find(prefix);
    return at == path.npos ? std::string_view() : path.substr(at + prefix.size());
}

bool read_google(std::string_view path, RequestPath* result) {
    const std::string_view last = path.substr(path.rfind('/') + 1);
    const size_t colon = last.rfind(':');
    if (colon == last.npos || colon == 0) {
        return false;
    }
    const Method* method = find_method(kGoogleMethods, last.substr(colon + 1));
    if (method == nullptr) {
        return false;
    }
    result->model = last.substr(0, colon);
    result->stream = method->stream;
    result->usage_field = method->usage_field;
    return true;
}

bool read_bedrock(std::string_view path, RequestPath* result) {
    const std::string_view rest = behind(path, kBedrockPrefix);
    const size_t slash = rest.rfind('/');
    if (slash == rest.npos || slash == 0) {
        return false;
    }
    const Method* method = find_method(kBedrockMethods, rest.substr(slash + 1));
    if (method == nullptr) {
        return false;
    }
    result->model = rest.substr(0, slash);
    result->stream = method->stream;
    return true;
}

void read_azure(std::string_view path, RequestPath* result) {
    const std::string_view rest = behind(path, kAzurePrefix);
    const size_t slash = rest.find('/');
    if (slash != rest.npos) {
        result->model = rest.substr(0, slash);
    }
}

bool read_replicate(std::string_view path, RequestPath* result) {
    if (!ends_with(path, kReplicateEnd)) {
        return false;
    }
    path.remove_suffix(kReplicateEnd.size());
    for (const std::string_view prefix : kReplicatePrefixes) {
        result->model = behind(path, prefix);
        if (result->model.find('/') != path.npos) {
            return true;
        }
    }
    result->model = {};
    return false;
}

bool read_workers_ai(std::string_view path, RequestPath* result) {
    result->model = behind(path, kWorkersAiPrefix);
    return !result->model.empty();
}

/** Paths that name a model and whether the answer is a stream. */
bool read_model(std::string_view path, RequestPath* result) {
    return read_google(path, result) || read_bedrock(path, result) ||
           read_replicate(path, result) || read_workers_ai(path, result);
}

std::string_view without_slashes_behind(std::string_view path) {
    while (ends_with(path, "/")) {
        path.remove_suffix(1);
    }
    return path;
}

/** The parts of paths of methods without a model (lists, files, interactions, Live). */
constexpr std::string_view kGooglePaths[] = {"/v1beta/", "/v1alpha/", "/v1beta1/",
                                             "google.ai.generativelanguage."};

}  // namespace

bool is_google_path(std::string_view path) {
    for (const std::string_view part : kGooglePaths) {
        if (path.find(part) != path.npos) {
            return true;
        }
    }
    RequestPath ignored;
    return read_google(without_slashes_behind(path), &ignored);
}

RequestPath read_request_path(std::string_view path) {
    RequestPath result;
    path = without_slashes_behind(path);
    // The most frequent paths are none of those that name a model.
    result.completions = ends_with(path, "/completions");
    if (!result.completions && read_model(path, &result)) {
        return result;
    }
    read_azure(path, &result);
    if (ends_with(path, "/interactions")) {
        result.usage_field = kWholeAnswer;
    }
    if (ends_with(path, "/api/chat") || ends_with(path, "/api/generate")) {
        result.stream = RequestPath::kUnlessRefused;
    } else if (ends_with(path, "/generate_stream")) {
        result.stream = RequestPath::kAlways;
    }
    return result;
}

}  // namespace ai_limit
