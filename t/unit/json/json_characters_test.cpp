#include "core/json/json_characters.h"

#include <gtest/gtest.h>

#include <string>

#include "random.h"

namespace ai_limit {
namespace {

uint64_t counted(std::string_view raw, size_t most) {
    JsonCharacters characters;
    characters.begin_string();
    for (; !raw.empty(); raw.remove_prefix(std::min(most, raw.size()))) {
        characters.add(raw.substr(0, most));
    }
    return characters.count();
}

uint64_t counted(std::string_view raw) {
    const uint64_t whole = counted(raw, raw.size() + 1);
    for (size_t most = 1; most < raw.size() && most < 20; ++most) {
        EXPECT_EQ(counted(raw, most), whole) << raw << " in pieces of " << most;
    }
    return whole;
}

TEST(JsonCharacters, CountsCodePoints) {
    EXPECT_EQ(counted(""), 0U);
    EXPECT_EQ(counted("hello, world"), 12U);
    EXPECT_EQ(counted("\xC3\xA9t\xC3\xA9"), 3U);
    EXPECT_EQ(counted("\xE6\xBC\xA2\xE5\xAD\x97\xF0\x9F\x98\x80!"), 4U);
}

TEST(JsonCharacters, CountsAnEscapeAsOne) {
    EXPECT_EQ(counted("a\\nb\\\"c\\\\\\\\d\\/"), 9U);
    EXPECT_EQ(counted("\\u00e9\\u6F22x\\u0000"), 4U);
    EXPECT_EQ(counted("\\\\u00e9"), 6U);
    EXPECT_EQ(counted("\\ud7ff\\ue000\\ud800"), 3U);
}

TEST(JsonCharacters, CountsASurrogatePairAsOne) {
    EXPECT_EQ(counted("\\ud83d\\ude00"), 1U);
    EXPECT_EQ(counted("a\\uD83D\\uDE00b\\ud83d\\udfff\\ud83d\\udc00"), 5U);
    EXPECT_EQ(counted("\\ucdcd\\uadcd\\u0dcd"), 3U);
}

TEST(JsonCharacters, CountsALoneSurrogateAsOne) {
    EXPECT_EQ(counted("\\udc00"), 1U);
    EXPECT_EQ(counted("\\udc00\\uDFFF\\udc00"), 3U);
    EXPECT_EQ(counted("\\ud83d\\ude00\\ude00"), 2U);
    EXPECT_EQ(counted("\\ud83d\\ud83d\\ude00"), 2U);
    EXPECT_EQ(counted("\\ud83dx\\ude00"), 3U);
    EXPECT_EQ(counted("\\ud83d\\n\\ude00"), 3U);
    EXPECT_EQ(counted("\\ud83d\\u0041\\ude00"), 3U);
    EXPECT_EQ(counted("\\ud7ff\\ude00"), 2U);
    JsonCharacters characters;
    for (const std::string_view text : {"\\ud83d", "\\ude00"}) {
        characters.begin_string();
        characters.add(text);
    }
    EXPECT_EQ(characters.count(), 2U) << "of two strings";
}

TEST(JsonCharacters, AddsUpSeveralStrings) {
    JsonCharacters characters;
    characters.begin_string();
    characters.add("abc\\u12");  // a string that is cut off
    characters.begin_string();
    characters.add("de");
    EXPECT_EQ(characters.count(), 5U);
}

TEST(JsonCharacters, CountsWhatWasWritten) {
    constexpr std::string_view kOne[] = {
        "a",    "\xC3\xA9", "\xE6\xBC\xA2",   "\xF0\x9F\x98\x80", "\\n",
        "\\\\", "\\u00e9",  "\\uD83D\\uDE00", "\\ud83d\\udc00",   " "};
    Random random(5);
    for (int i = 0; i < 2000; ++i) {
        std::string text;
        const uint64_t size = random.below(60);
        for (uint64_t k = 0; k < size; ++k) {
            text += random.one_of(kOne);
        }
        ASSERT_EQ(counted(text), size) << text;
    }
}

TEST(IsAscii, ChecksEachByte) {
    for (size_t size = 0; size < 40; ++size) {
        std::string text(size, 'a');
        EXPECT_TRUE(is_ascii(text)) << size;
        for (size_t at = 0; at < size; ++at) {
            text[at] = '\x80';
            EXPECT_FALSE(is_ascii(text)) << size << " at " << at;
            text[at] = 'a';
        }
    }
}

}  // namespace
}  // namespace ai_limit
