#include "core/json_text_size.h"

#include <gtest/gtest.h>

#include <string>

#include "core/json_text.h"
#include "random.h"

namespace ai_limit {
namespace {

uint64_t size_of(std::string_view raw, size_t most) {
    JsonTextSize size;
    size.begin_string();
    uint64_t bytes = 0;
    for (; !raw.empty(); raw.remove_prefix(std::min(most, raw.size()))) {
        bytes += size.add(raw.substr(0, most));
    }
    return bytes;
}

uint64_t size_of(std::string_view raw) {
    const uint64_t whole = size_of(raw, raw.size() + 1);
    for (size_t most = 1; most < raw.size() && most < 20; ++most) {
        EXPECT_EQ(size_of(raw, most), whole) << raw << " in pieces of " << most;
    }
    return whole;
}

TEST(JsonTextSize, CountsBytesAsTheyAre) {
    EXPECT_EQ(size_of(""), 0U);
    EXPECT_EQ(size_of("hello"), 5U);
    EXPECT_EQ(size_of("\xC3\xA9\xE6\xBC\xA2\xFF"), 6U);
}

TEST(JsonTextSize, AnEscapeCountsWhatItMeans) {
    EXPECT_EQ(size_of("a\\nb\\\"c\\\\\\\\d\\/"), 9U);
    EXPECT_EQ(size_of("\\u0000\\u007f"), 2U);
    EXPECT_EQ(size_of("\\u0080\\u07ff"), 4U);
    EXPECT_EQ(size_of("\\u0800\\uD7FF\\ue000\\uffff"), 12U);
    EXPECT_EQ(size_of("\\\\u00e9"), 6U);
}

TEST(JsonTextSize, ASurrogatePairHasFourBytes) {
    EXPECT_EQ(size_of("\\ud83d\\ude00"), 4U);
    EXPECT_EQ(size_of("a\\uD83D\\uDE00b\\ud800\\udc00\\udbff\\udfff"), 14U);
}

TEST(JsonTextSize, HalfOfAPairHasThreeBytes) {
    EXPECT_EQ(size_of("\\ud83d"), 3U);
    EXPECT_EQ(size_of("\\ude00"), 3U);
    EXPECT_EQ(size_of("\\ud83dx\\ude00"), 7U);
    EXPECT_EQ(size_of("\\ud83d\\n\\ude00"), 7U);
    EXPECT_EQ(size_of("\\ud83d\\u0041\\ude00"), 7U);
    EXPECT_EQ(size_of("\\ud83d\\ud83d\\ude00\\ude00"), 10U);
}

TEST(JsonTextSize, StringsAreOnTheirOwn) {
    JsonTextSize size;
    size.begin_string();
    EXPECT_EQ(size.add("a\\ud83d"), 4U);
    size.begin_string();
    EXPECT_EQ(size.add("\\ude00\\u12"), 3U);  // the second one is cut off
    size.begin_string();
    EXPECT_EQ(size.add("34"), 2U);
}

TEST(JsonTextSize, IsTheSizeOfTheDecodedText) {
    constexpr std::string_view kOne[] = {
        "a", "\xC3\xA9", "\\n", "\\u00e9", "\\u6f22", "\\ud83d\\ude00", "\\\\", "plain text",
    };
    Random random(5);
    for (int round = 0; round < 1000; ++round) {
        std::string raw;
        for (uint64_t n = random.below(20); n > 0; --n) {
            raw += random.one_of(kOne);
        }
        JsonText<1000> decoded;
        decoded.clear();
        decoded.append(raw);
        std::string_view text;
        ASSERT_TRUE(decoded.get(&text));
        ASSERT_EQ(size_of(raw), text.size()) << raw;
    }
}

}  // namespace
}  // namespace ai_limit
