#include "core/reply/dialect.h"

#include <gtest/gtest.h>

#include <string>

namespace ai_limit {
namespace {

struct Row {
    const char* path;
    Dialect dialect;
};

constexpr Row kPaths[] = {
    {"/v1/chat/completions", Dialect::kOpenAi},
    {"/openai/deployments/gpt/chat/completions", Dialect::kOpenAi},
    {"/v1beta/openai/chat/completions", Dialect::kOpenAi},
    {"/api/v1/chat/completions", Dialect::kOpenAi},
    {"/api/chat/completions", Dialect::kOpenAi},
    {"/v1/completions", Dialect::kOpenAi},
    {"/v1/fim/completions", Dialect::kOpenAi},
    {"/v1/responses", Dialect::kOpenAi},
    {"/responses", Dialect::kOpenAi},
    {"/v1/responses/resp_1", Dialect::kOpenAi},
    {"/v1/responses/compact", Dialect::kOpenAi},
    {"/v1/embeddings", Dialect::kOpenAi},
    {"/api/v1/embeddings", Dialect::kOpenAi},
    {"/v1/moderations", Dialect::kOpenAi},
    {"/v1/realtime", Dialect::kOpenAi},
    {"/v1/images/generations", Dialect::kOpenAi},
    {"/v1/audio/transcriptions", Dialect::kOpenAi},
    {"/v1/threads/t_1/messages", Dialect::kOpenAi},
    {"/v1/messages", Dialect::kAnthropic},
    {"/anthropic/v1/messages/", Dialect::kAnthropic},
    {"/v1/messages/count_tokens", Dialect::kAnthropic},
    {"/v1/messages/batches", Dialect::kAnthropic},
    {"/v1/messages/batches/b_1/results", Dialect::kAnthropic},
    {"/v1beta/models/gemini-3:generateContent", Dialect::kGemini},
    {"/v1beta/models/gemini-3:streamGenerateContent", Dialect::kGemini},
    {"/v1beta/models/gemini-3:countTokens", Dialect::kGemini},
    {"/v1beta/models/gemini-3:embedContent", Dialect::kGemini},
    {"/v1beta/models/gemini-3:batchEmbedContents", Dialect::kGemini},
    {"/v1/projects/p/locations/l/publishers/google/models/m:predict", Dialect::kGemini},
    {"/v1/projects/p/locations/l/publishers/anthropic/models/m:streamRawPredict", Dialect::kGemini},
    {"/v1beta/interactions", Dialect::kGemini},
    {"/v1beta/interactions/i_1", Dialect::kGemini},
    {"/api/chat", Dialect::kOllama},
    {"/ollama/api/generate", Dialect::kOllama},
    {"/api/embed", Dialect::kOllama},
    {"/api/embeddings", Dialect::kOllama},
    {"/model/anthropic.claude-v2%3A1/converse", Dialect::kBedrock},
    {"/model/anthropic.claude-v2:1/invoke-with-response-stream", Dialect::kBedrock},
    {"/v1/chat", Dialect::kCohere},
    {"/v2/chat", Dialect::kCohere},
    {"/v2/embed", Dialect::kCohere},
    {"/v2/rerank", Dialect::kCohere},
    {"/", Dialect::kPlain},
    {"", Dialect::kPlain},
    {"//", Dialect::kPlain},
    {"/v1/models", Dialect::kPlain},
    {"/v1/models/llama3:latest", Dialect::kPlain},
    {"/v1/models/:generateContent", Dialect::kPlain},
    {":generateContent", Dialect::kPlain},
    {"/generateContent", Dialect::kPlain},
    {"/my-messages", Dialect::kPlain},
    {"/messages/5", Dialect::kPlain},
    {"/images", Dialect::kPlain},
    {"/images/", Dialect::kPlain},
    {"/model/name", Dialect::kPlain},
    {"/model//converse", Dialect::kPlain},
    {"/model/name/", Dialect::kPlain},
    {"/api/v1/chat", Dialect::kPlain},
    {"/chatcompletions", Dialect::kPlain},
};

TEST(Dialect, IsFoundByThePath) {
    for (const Row& row : kPaths) {
        EXPECT_EQ(find_dialect(row.path), row.dialect) << row.path;
    }
}

TEST(Dialect, IsTheSameBehindAPrefixAndWithASlashAtTheEnd) {
    for (const Row& row : kPaths) {
        if (row.dialect != Dialect::kPlain) {
            const std::string path = "/gateway/team" + std::string(row.path) + "/";
            EXPECT_EQ(find_dialect(path), row.dialect) << path;
        }
    }
}

TEST(Dialect, HasTheFormatAndTheHeadersOfItsApi) {
    EXPECT_EQ(format_of(Dialect::kPlain), ErrorFormat::kJson);
    EXPECT_EQ(format_of(Dialect::kOpenAi), ErrorFormat::kOpenAi);
    EXPECT_EQ(format_of(Dialect::kAnthropic), ErrorFormat::kAnthropic);
    EXPECT_EQ(format_of(Dialect::kGemini), ErrorFormat::kGemini);
    EXPECT_EQ(format_of(Dialect::kOllama), ErrorFormat::kOllama);
    EXPECT_EQ(format_of(Dialect::kBedrock), ErrorFormat::kBedrock);
    EXPECT_EQ(format_of(Dialect::kCohere), ErrorFormat::kCohere);
    EXPECT_EQ(styles_of(Dialect::kOpenAi), header_styles(HeaderStyle::kOpenAi));
    EXPECT_EQ(styles_of(Dialect::kAnthropic), header_styles(HeaderStyle::kAnthropic));
    for (const Dialect plain : {Dialect::kPlain, Dialect::kGemini, Dialect::kOllama,
                                Dialect::kBedrock, Dialect::kCohere}) {
        EXPECT_EQ(styles_of(plain), header_styles(HeaderStyle::kXRateLimit));
    }
}

}  // namespace
}  // namespace ai_limit
