// The query of a URL: what an operator's tools send, and what nobody should.

#include "core/words/query.h"

#include <gtest/gtest.h>

#include <string>

#include "random.h"

namespace ai_limit {
namespace {

struct Parsed {
    explicit Parsed(const std::string& text) : memory(text.size() + 1, '\0') {
        error = query.parse(text, memory.data());
    }

    std::string get(std::string_view name) const {
        std::string_view value = "(none)";
        query.get(name, &value);
        return std::string(value);
    }

    std::string memory;
    Query query;
    const char* error;
};

TEST(Query, DecodesValues) {
    Parsed parsed("policy=user&key=sk%2d%C3%A4+b%00c&empty=&flag");
    ASSERT_EQ(parsed.error, nullptr);
    EXPECT_EQ(parsed.get("policy"), "user");
    EXPECT_EQ(parsed.get("key"), std::string("sk-\xC3\xA4+b\0c", 9));
    EXPECT_EQ(parsed.get("empty"), "");
    EXPECT_EQ(parsed.get("flag"), "");
    EXPECT_EQ(parsed.get("other"), "(none)");
}

TEST(Query, KeepsASecondEqualsSignInTheValue) {
    EXPECT_EQ(Parsed("key=a=b==").get("key"), "a=b==");
}

TEST(Query, IgnoresEmptyPairs) {
    Parsed parsed("&&a=1&&b=2&");
    EXPECT_EQ(parsed.error, nullptr);
    EXPECT_EQ(parsed.get("a"), "1");
    EXPECT_EQ(parsed.get("b"), "2");
    EXPECT_EQ(Parsed("").error, nullptr);
}

TEST(Query, NamesMistakes) {
    for (const char* text : {"key=%", "key=%4", "key=%4g", "key=%zz", "%=1"}) {
        EXPECT_STREQ(Parsed(text).error, "an invalid percent escape") << text;
    }
    EXPECT_STREQ(Parsed("a=1&a=2").error, "an argument comes twice");
    EXPECT_STREQ(Parsed("a=1&%61=2").error, "an argument comes twice");
    EXPECT_STREQ(Parsed("=1").error, "an argument without a name");
    EXPECT_STREQ(Parsed("a&b&c&d&e&f&g&h&i").error, "too many arguments");
    EXPECT_STREQ(Parsed("a=" + std::string(kMaxQuery, 'x')).error, "the query is too long");
}

TEST(Query, FindsUnknownArguments) {
    constexpr std::string_view kKnown[] = {"a", "b"};
    EXPECT_EQ(Parsed("a=1&b=2").query.unknown(kKnown), "");
    EXPECT_EQ(Parsed("a=1&c=2").query.unknown(kKnown), "c");
}

TEST(Query, ReadsRandomTextWithinItsBounds) {
    Random random(3);
    constexpr char kLetters[] = {'a', 'b', '&', '=', '%', '0', 'f', 'z', '+', '\0', '\xff'};
    for (int i = 0; i < 100'000; ++i) {
        std::string text;
        for (uint64_t n = random.below(24); n > 0; --n) {
            text += random.one_of(kLetters);
        }
        Parsed parsed(text);
        if (parsed.error == nullptr) {
            EXPECT_LE(parsed.get("a").size(), text.size() + 6);
        }
    }
}

}  // namespace
}  // namespace ai_limit
