#include "core/requests/request_path.h"

#include <gtest/gtest.h>

namespace ai_limit {
namespace {

struct Case {
    std::string_view path;
    std::string_view model;
    RequestPath::Stream stream;
};

void expect_all(const std::initializer_list<Case>& cases) {
    for (const Case& one : cases) {
        const RequestPath read = read_request_path(one.path);
        EXPECT_EQ(read.model, one.model) << one.path;
        EXPECT_EQ(read.stream, one.stream) << one.path;
    }
}

TEST(RequestPath, GoogleNamesTheModelAndTheMethod) {
    expect_all({
        {"/v1beta/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro", RequestPath::kByBody},
        {"/v1beta/models/gemini-2.5-pro:streamGenerateContent", "gemini-2.5-pro",
         RequestPath::kAlways},
        {"/v1/projects/p/locations/l/publishers/google/models/gemini-pro:streamGenerateContent",
         "gemini-pro", RequestPath::kAlways},
        {"/v1/projects/p/locations/l/publishers/anthropic/models/claude-3@2024:rawPredict",
         "claude-3@2024", RequestPath::kByBody},
        {"/v1/projects/p/locations/l/publishers/anthropic/models/claude-3:streamRawPredict",
         "claude-3", RequestPath::kAlways},
        {"/v1beta/models/text-embedding-004:embedContent", "text-embedding-004",
         RequestPath::kByBody},
        {"/v1beta/models/veo-3:predictLongRunning", "veo-3", RequestPath::kByBody},
        {"/v1beta/models/gemini:batchGenerateContent", "gemini", RequestPath::kByBody},
        {"/v1beta/models/a:b:generateContent/", "a:b", RequestPath::kByBody},
        {"/v1/models/ft:gpt-4o:acme", "", RequestPath::kByBody},
        {"/v1beta/models/:generateContent", "", RequestPath::kByBody},
        {"/v1beta/models/gemini:generatecontent", "", RequestPath::kByBody},
        {"/a:generateContent/b", "", RequestPath::kByBody},
    });
}

TEST(RequestPath, RecognizesPathsOfGoogle) {
    for (const std::string_view path :
         {"/v1beta/models/gemini-2.5-pro:generateContent", "/v1/models/gemini:countTokens/",
          "/v1beta/interactions", "/gemini/v1alpha/models", "/v1/projects/p/models/m:predict",
          "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"}) {
        EXPECT_TRUE(is_google_path(path)) << path;
    }
    for (const std::string_view path :
         {"/v1/chat/completions", "/", "", "/v1/models/ft:gpt-4o:acme", "/v1/messages",
          "/v1betas/models"}) {
        EXPECT_FALSE(is_google_path(path)) << path;
    }
}

TEST(RequestPath, BedrockNamesTheModelAndTheMethod) {
    expect_all({
        {"/model/anthropic.claude-3-5-sonnet-20240620-v1:0/converse",
         "anthropic.claude-3-5-sonnet-20240620-v1:0", RequestPath::kByBody},
        {"/model/amazon.nova-pro-v1:0/converse-stream", "amazon.nova-pro-v1:0",
         RequestPath::kAlways},
        {"/model/m/invoke", "m", RequestPath::kByBody},
        {"/bedrock/model/m/invoke-with-response-stream", "m", RequestPath::kAlways},
        {"/model/arn:aws:bedrock:us-east-1:1:inference-profile/eu.m/converse",
         "arn:aws:bedrock:us-east-1:1:inference-profile/eu.m", RequestPath::kByBody},
        {"/model/m/other", "", RequestPath::kByBody},
        {"/model//converse", "", RequestPath::kByBody},
        {"/model/converse", "", RequestPath::kByBody},
        {"/models/m/converse", "", RequestPath::kByBody},
    });
}

TEST(RequestPath, AzureNamesTheDeployment) {
    expect_all({
        {"/openai/deployments/my-gpt/chat/completions", "my-gpt", RequestPath::kByBody},
        {"/az/openai/deployments/e/embeddings", "e", RequestPath::kByBody},
        {"/openai/deployments/my-gpt", "", RequestPath::kByBody},
        {"/openai/deployments//chat/completions", "", RequestPath::kByBody},
        {"/openai/v1/chat/completions", "", RequestPath::kByBody},
    });
}

TEST(RequestPath, ReplicateNamesTheOwnerAndTheModel) {
    expect_all({
        {"/v1/models/meta/meta-llama-3-8b-instruct/predictions", "meta/meta-llama-3-8b-instruct",
         RequestPath::kByBody},
        {"/v1/deployments/acme/my-app/predictions/", "acme/my-app", RequestPath::kByBody},
        {"/v1/predictions", "", RequestPath::kByBody},
        {"/v1/models/meta/predictions", "", RequestPath::kByBody},
    });
}

TEST(RequestPath, WorkersAiNamesTheModel) {
    expect_all({
        {"/client/v4/accounts/a/ai/run/@cf/meta/llama-3.1-8b-instruct",
         "@cf/meta/llama-3.1-8b-instruct", RequestPath::kByBody},
        {"/client/v4/accounts/a/ai/run/", "", RequestPath::kByBody},
        {"/client/v4/accounts/a/ai/v1/chat/completions", "", RequestPath::kByBody},
    });
}

TEST(RequestPath, TextGenerationInferenceStreamsByItsPath) {
    expect_all(
        {{"/generate_stream", "", RequestPath::kAlways}, {"/generate", "", RequestPath::kByBody}});
}

TEST(RequestPath, OllamaStreamsUnlessRefused) {
    expect_all({
        {"/api/chat", "", RequestPath::kUnlessRefused},
        {"/ollama/api/generate/", "", RequestPath::kUnlessRefused},
        {"/api/embed", "", RequestPath::kByBody},
        {"/myapi/chat", "", RequestPath::kByBody},
        {"/api/chat/x", "", RequestPath::kByBody},
    });
}

TEST(RequestPath, RecognizesOpenAiCompletions) {
    for (const std::string_view path :
         {"/v1/chat/completions", "/v1/completions", "/openai/deployments/d/chat/completions",
          "/chat/completions/"}) {
        EXPECT_TRUE(read_request_path(path).completions) << path;
    }
    for (const std::string_view path :
         {"/v1/messages", "/v1/responses", "/api/chat", "", "/", "///", "completions",
          "/v1/chat/completions/x", "/model/x/invoke"}) {
        EXPECT_FALSE(read_request_path(path).completions) << path;
        EXPECT_EQ(read_request_path(path).model.empty(), path != "/model/x/invoke");
    }
}

}  // namespace
}  // namespace ai_limit
