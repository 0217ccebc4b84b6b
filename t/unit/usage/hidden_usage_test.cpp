#include "core/usage/hidden_usage.h"

#include <gtest/gtest.h>

#include <string>

#include "core/requests/request_path.h"

namespace ai_limit {
namespace {

constexpr std::string_view kGenerate = "/v1beta/models/gemini:generateContent";

bool hides(std::string_view path, std::string_view query) {
    std::string buffer(query.size(), '\0');
    return query_hides_usage(read_request_path(path).usage_field, query, buffer.data());
}

TEST(HiddenUsage, NeedsAMaskThatNamesTheWholeUsage) {
    for (const std::string_view query :
         {"fields=candidates", "$fields=candidates", "alt=sse&%66ields=candidates%2FfinishReason",
          "fields=usageMetadata&$fields=candidates", "fields=usageMetadata/totalTokenCount",
          "fields=usageMetadata(totalTokenCount)", "fields=candidates(usageMetadata,*)",
          "fields=usagemetadata", "fields=metadata", "%24fields=a"}) {
        EXPECT_TRUE(hides(kGenerate, query)) << query;
    }
    for (const std::string_view query :
         {"", "alt=sse", "fields=", "fields", "fields=*", "fields=candidates,usageMetadata",
          "fields=candidates(content,finishReason)%2C+usageMetadata", "field=candidates",
          "Fields=candidates", "q=fields"}) {
        EXPECT_FALSE(hides(kGenerate, query)) << query;
    }
}

TEST(HiddenUsage, TakesAnyMaskAsHidingIfNoFieldHasAllOfTheUsage) {
    for (const std::string_view path : {"/v1/projects/p/models/m:predict",
                                        "/v1/models/claude:rawPredict", "/v1beta/interactions"}) {
        EXPECT_TRUE(hides(path, "fields=metadata")) << path;
        EXPECT_FALSE(hides(path, "fields=*")) << path;
    }
}

TEST(HiddenUsage, IgnoresOtherPaths) {
    for (const std::string_view path :
         {"/v1/chat/completions", "/v1beta/models", "/v1/models/gemini:countTokens"}) {
        EXPECT_FALSE(hides(path, "fields=models.name")) << path;
    }
}

TEST(HiddenUsage, ReadsTheMaskOfAHeader) {
    EXPECT_TRUE(mask_hides_usage("usageMetadata", "candidates"));
    EXPECT_FALSE(mask_hides_usage("usageMetadata", " candidates , usageMetadata\t"));
    EXPECT_FALSE(mask_hides_usage("usageMetadata", " "));
}

}  // namespace
}  // namespace ai_limit
