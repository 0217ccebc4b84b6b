#include "core/json/bounded_text.h"

#include <gtest/gtest.h>

#include <string>

#include "core/json/model_name.h"

namespace ai_limit {
namespace {

std::string plain(std::string_view text) {
    ModelName name;
    name.assign(text);
    return std::string(name.view());
}

std::string json(std::string_view raw, size_t most) {
    ModelName name;
    name.assign("what was before");
    name.begin();
    for (; !raw.empty(); raw.remove_prefix(std::min(most, raw.size()))) {
        name.append_json(raw.substr(0, most));
    }
    EXPECT_EQ(name.view(), "");
    name.end();
    return std::string(name.view());
}

std::string json(std::string_view raw) {
    const std::string whole = json(raw, raw.size() + 1);
    for (size_t most = 1; most < raw.size() && most < 300; ++most) {
        EXPECT_EQ(json(raw, most), whole) << raw << " in pieces of " << most;
    }
    return whole;
}

TEST(BoundedText, KeepsAShortText) {
    EXPECT_EQ(plain("gpt-4o"), "gpt-4o");
    EXPECT_EQ(plain(""), "");
    EXPECT_EQ(json("gpt-4o"), "gpt-4o");
    EXPECT_EQ(json(""), "");
    EXPECT_EQ(ModelName().view(), "");
}

TEST(BoundedText, DecodesEscapes) {
    EXPECT_EQ(json("meta\\/llama\\u002d3 \\u00e9\\ud83d\\ude00\\n"),
              "meta/llama-3 \xC3\xA9\xF0\x9F\x98\x80\n");
}

TEST(BoundedText, ShortensALongNameToItsBeginningAndAHash) {
    const std::string longest(255, 'm');
    EXPECT_EQ(plain(longest), longest);
    EXPECT_EQ(json(longest), longest);
    for (const std::string& name : {plain(longest + "a"), json(longest + "a")}) {
        EXPECT_EQ(name.size(), 255U);
        EXPECT_EQ(name.substr(0, 239), longest.substr(0, 238) + "~");
        EXPECT_EQ(name.find_first_not_of("0123456789abcdef", 239), name.npos);
    }
    EXPECT_EQ(plain(longest + "a"), json(longest + "a"));
    EXPECT_NE(plain(longest + "a"), plain(longest + "b"));
    EXPECT_NE(json(longest + "a"), json(longest + "aa"));
    EXPECT_NE(json(std::string(100'000, 'a'), 4096), json(std::string(100'001, 'a'), 4096));
}

TEST(BoundedText, NeverCutsACharacter) {
    for (size_t before = 230; before <= 240; ++before) {
        const std::string begin(before, 'x');
        std::string text = begin;
        for (int i = 0; i < 20; ++i) {
            text += "\xF0\x9F\x98\x80";
        }
        const std::string name = plain(text);
        const size_t tilde = name.find('~');
        EXPECT_EQ(name.size(), tilde + 17);
        EXPECT_LE(tilde, 238U);
        EXPECT_TRUE(tilde > 234 || before > 234);
        EXPECT_EQ((tilde - std::min(before, tilde)) % 4, 0U);
        EXPECT_EQ(json(text), name);
    }
}

TEST(BoundedText, ShortensInvalidTextToItsBeginningAndAHash) {
    EXPECT_EQ(json("abc\\ud83d").substr(0, 4), "abc~");
    EXPECT_EQ(json("abc\\ud83d").size(), 20U);
    EXPECT_NE(json("abc\\ud83d"), json("abc\\ud83e"));
    EXPECT_EQ(json("abc\\ude00def").substr(0, 4), "abc~");
}

TEST(BoundedText, HashesTheDecodedText) {
    const std::string longest(255, 'm');
    EXPECT_EQ(json(longest + "a\\/\\n\\ud83d\\ude00"), plain(longest + "a/\n\xF0\x9F\x98\x80"));
    EXPECT_EQ(json(longest + "a/\\u000a\xF0\x9F\x98\x80"), plain(longest + "a/\n\xF0\x9F\x98\x80"));
    EXPECT_EQ(json("\\u006d" + longest), plain("m" + longest));
    EXPECT_NE(json(longest + "\\ud83d"), json(longest + "\\ud83e"));
    EXPECT_NE(json(longest + "\\ud83dx"), json(longest + "\\ud83ex"));
}

TEST(BoundedText, EscapesControlCharactersOnRequest) {
    BoundedText<64, ControlCharacters::kEscaped> text;
    text.assign("a\r\nb\x7f\x80");
    EXPECT_EQ(text.view(), "a%0D%0Ab%7F\x80");
    text.assign(std::string(63, 'x') + "\n");
    EXPECT_EQ(text.view().substr(0, 48), std::string(47, 'x') + "~");
    EXPECT_EQ(text.view().size(), 64U);
}

}  // namespace
}  // namespace ai_limit
