#include "core/reply/dialect.h"

#include <cstddef>

namespace ai_limit {

namespace {

// The table of answers, in the order of Dialect.

struct DialectRow {
    ErrorFormat format;
    HeaderStyle style;
};

constexpr DialectRow kDialects[] = {
    {ErrorFormat::kJson, HeaderStyle::kXRateLimit},      // kPlain
    {ErrorFormat::kOpenAi, HeaderStyle::kOpenAi},        // kOpenAi
    {ErrorFormat::kAnthropic, HeaderStyle::kAnthropic},  // kAnthropic
    {ErrorFormat::kGemini, HeaderStyle::kXRateLimit},    // kGemini
    {ErrorFormat::kOllama, HeaderStyle::kXRateLimit},    // kOllama
    {ErrorFormat::kBedrock, HeaderStyle::kXRateLimit},   // kBedrock
    {ErrorFormat::kCohere, HeaderStyle::kXRateLimit},    // kCohere
};

static_assert(sizeof kDialects / sizeof *kDialects == static_cast<size_t>(Dialect::kCohere) + 1);

const DialectRow& row_of(Dialect dialect) {
    return kDialects[static_cast<size_t>(dialect)];
}

// The table of paths. The first row that matches decides.

bool ends_with(std::string_view path, std::string_view text) {
    return path.size() >= text.size() && path.substr(path.size() - text.size()) == text;
}

/** True if the path holds the text and something behind it. */
bool holds(std::string_view path, std::string_view text) {
    const size_t at = path.find(text);
    return at != path.npos && at + text.size() < path.size();
}

/** True if the last segment is a name and this method: `…/NAME:generateContent`. */
bool calls(std::string_view path, std::string_view method) {
    if (!ends_with(path, method)) {
        return false;
    }
    const std::string_view before = path.substr(0, path.size() - method.size());
    return before.size() > 1 && before.back() == ':' && before[before.size() - 2] != '/';
}

/** True if the text is followed by a name and a slash with something behind it. */
bool names(std::string_view path, std::string_view text) {
    const size_t at = path.find(text);
    if (at == path.npos) {
        return false;
    }
    const std::string_view rest = path.substr(at + text.size());
    const size_t slash = rest.find('/');
    return slash != rest.npos && slash > 0 && slash + 1 < rest.size();
}

struct PathRow {
    bool (*matches)(std::string_view path, std::string_view text);
    std::string_view text;
    Dialect dialect;
};

// Rows with longer texts stand before those whose texts are their ends.
constexpr PathRow kPaths[] = {
    {names, "/model/", Dialect::kBedrock},

    {calls, "generateContent", Dialect::kGemini},
    {calls, "streamGenerateContent", Dialect::kGemini},
    {calls, "batchGenerateContent", Dialect::kGemini},
    {calls, "countTokens", Dialect::kGemini},
    {calls, "computeTokens", Dialect::kGemini},
    {calls, "embedContent", Dialect::kGemini},
    {calls, "batchEmbedContents", Dialect::kGemini},
    {calls, "predict", Dialect::kGemini},
    {calls, "predictLongRunning", Dialect::kGemini},
    {calls, "rawPredict", Dialect::kGemini},
    {calls, "streamRawPredict", Dialect::kGemini},
    {calls, "serverStreamingPredict", Dialect::kGemini},
    {ends_with, "/interactions", Dialect::kGemini},
    {holds, "/interactions/", Dialect::kGemini},

    {ends_with, "/api/chat", Dialect::kOllama},
    {ends_with, "/api/generate", Dialect::kOllama},
    {ends_with, "/api/embed", Dialect::kOllama},
    {ends_with, "/api/embeddings", Dialect::kOllama},

    {ends_with, "/completions", Dialect::kOpenAi},
    {ends_with, "/responses", Dialect::kOpenAi},
    {holds, "/responses/", Dialect::kOpenAi},
    {ends_with, "/embeddings", Dialect::kOpenAi},
    {ends_with, "/moderations", Dialect::kOpenAi},
    {ends_with, "/realtime", Dialect::kOpenAi},
    {holds, "/images/", Dialect::kOpenAi},
    {holds, "/audio/", Dialect::kOpenAi},
    {holds, "/threads/", Dialect::kOpenAi},  // its messages are not Anthropic's

    {ends_with, "/messages", Dialect::kAnthropic},
    {ends_with, "/messages/count_tokens", Dialect::kAnthropic},
    {holds, "/messages/batches", Dialect::kAnthropic},
    {ends_with, "/messages/batches", Dialect::kAnthropic},

    {ends_with, "/api/v1/chat", Dialect::kPlain},  // LM Studio, not Cohere
    {ends_with, "/v1/chat", Dialect::kCohere},
    {ends_with, "/v2/chat", Dialect::kCohere},
    {ends_with, "/v1/generate", Dialect::kCohere},
    {ends_with, "/v1/embed", Dialect::kCohere},
    {ends_with, "/v2/embed", Dialect::kCohere},
    {ends_with, "/v1/rerank", Dialect::kCohere},
    {ends_with, "/v2/rerank", Dialect::kCohere},
};

}  // namespace

Dialect find_dialect(std::string_view path) {
    while (ends_with(path, "/")) {
        path.remove_suffix(1);
    }
    for (const PathRow& row : kPaths) {
        if (row.matches(path, row.text)) {
            return row.dialect;
        }
    }
    return Dialect::kPlain;
}

ErrorFormat format_of(Dialect dialect) {
    return row_of(dialect).format;
}

HeaderStyles styles_of(Dialect dialect) {
    return header_styles(row_of(dialect).style);
}

}  // namespace ai_limit
