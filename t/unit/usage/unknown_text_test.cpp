#include "core/usage/unknown_text.h"

#include <gtest/gtest.h>

#include <string>

namespace ai_limit {
namespace {

uint64_t characters_of(std::string_view document) {
    UnknownText text;
    text.feed(document);
    text.end_document(true);
    return text.ended();
}

std::string nested(size_t depth, const std::string& value) {
    return std::string(depth, '[') + value + std::string(depth, ']');
}

TEST(UnknownText, CountsTheTextBehindAnErrorOfAnyDepth) {
    for (const size_t depth : {1, 12, 254, 255, 256, 257, 510, 512, 513, 1000}) {
        const std::string error = "\"error\":" + nested(depth, "\"left out\"");
        EXPECT_EQ(characters_of("{" + error + ",\"text\":\"abcd\"}"), 4U) << depth;
        EXPECT_EQ(characters_of("{\"text\":\"abcd\"," + error + "}"), 4U) << depth;
    }
}

TEST(UnknownText, CountsTheTextBehindManyObjectsThatItLeavesOut) {
    std::string document = "{\"choices\":[";
    for (int i = 0; i < 300; ++i) {
        document += R"({"content_filter_results":{"hate":{"severity":"safe"}}},)";
    }
    EXPECT_EQ(characters_of(document + "{\"text\":\"abcd\"}]}"), 4U);
}

TEST(UnknownText, CountsAnotherDocumentAfterOneThatEndsWithinAnError) {
    UnknownText text;
    text.feed("{\"error\":" + std::string(300, '['));
    text.end_document(true);
    text.feed("{\"text\":\"abcd\"}");
    EXPECT_EQ(text.here(), 4U);
}

}  // namespace
}  // namespace ai_limit
