// The names of sharers, as operators see them.

#include "core/observe/sharer_names.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace ai_limit {
namespace {

constexpr Millis kBegin = 1'000'000'000;
constexpr uint64_t kKey = 0x7700;

struct Names : testing::Test {
    void ask(uint64_t tag, std::string_view name, Millis at = kBegin) {
        note_sharer(names.get(), {tag, kKey, name, "key:pool"}, at);
    }

    std::vector<std::string> all() {
        NamedSharer named[kNamedSharers];
        const size_t count = read_named_sharers(*names, named);
        std::vector<std::string> shown;
        for (size_t i = 0; i < count; ++i) {
            shown.emplace_back(named[i].sharer.view());
        }
        return shown;
    }

    std::unique_ptr<SharerNames> names = std::make_unique<SharerNames>();
};

uint64_t tag_at(uint32_t place, uint64_t number) {
    return uint64_t{place} << 32 | (number + 1) << 8;
}

TEST_F(Names, SharerIsNamedOnceWithItsKey) {
    ask(tag_at(3, 1), "key:a");
    ask(tag_at(3, 1), "key:a", kBegin + 5'000);
    NamedSharer named[kNamedSharers];
    ASSERT_EQ(read_named_sharers(*names, named), 1U);
    EXPECT_EQ(named[0].tag, tag_at(3, 1));
    EXPECT_EQ(named[0].key_tag, kKey);
    EXPECT_EQ(named[0].sharer.view(), "key:a");
    EXPECT_EQ(named[0].key.view(), "key:pool");
}

TEST_F(Names, SecretsAreShortened) {
    ask(tag_at(3, 1), "sk-1234567890abcdef");
    EXPECT_EQ(all(), std::vector<std::string>{"sk-1\xE2\x80\xA6"
                                              "cdef"});
}

TEST_F(Names, AllFindAPlaceWhereverTheirTagsBegin) {
    std::set<std::string> asked;
    for (uint32_t i = 0; i < kNamedSharers; ++i) {
        const std::string name = "key:" + std::to_string(i);
        ask(tag_at(30, i), name);
        asked.insert(name);
    }
    const std::vector<std::string> shown = all();
    EXPECT_EQ(std::set<std::string>(shown.begin(), shown.end()), asked);
    EXPECT_EQ(shown.size(), kNamedSharers);
}

TEST_F(Names, NewcomerTakesOnlyThePlaceOfOneThatDoesNotAskAnyMore) {
    for (uint32_t i = 0; i < kNamedSharers; ++i) {
        ask(tag_at(5, i), "key:" + std::to_string(i));
    }
    for (uint32_t i = 1; i < kNamedSharers; ++i) {
        ask(tag_at(5, i), "key:" + std::to_string(i), kBegin + 59'000);
    }
    ask(tag_at(9, 100), "key:new", kBegin + 59'500);
    std::vector<std::string> shown = all();
    EXPECT_EQ(std::count(shown.begin(), shown.end(), "key:new"), 0);
    ask(tag_at(9, 100), "key:new", kBegin + 62'000);
    ask(tag_at(9, 101), "key:newer", kBegin + 62'000);
    shown = all();
    EXPECT_EQ(shown.size(), kNamedSharers);
    EXPECT_EQ(std::count(shown.begin(), shown.end(), "key:new"), 1);
    EXPECT_EQ(std::count(shown.begin(), shown.end(), "key:newer"), 0);
    EXPECT_EQ(std::count(shown.begin(), shown.end(), "key:0"), 0);
}

TEST_F(Names, SharerWithTwoPlacesIsShownOnce) {
    ask(tag_at(5, 1), "key:a");
    names->tags[6].store(tag_at(5, 1));
    names->labels[6].sharer = names->labels[5].sharer;
    EXPECT_EQ(all().size(), 1U);
}

TEST_F(Names, PlaceOfAProcessThatDiedWhileItWroteIsTakenAfterAMinute) {
    constexpr uint64_t kBeingWritten = 1;
    for (uint32_t i = 0; i < kNamedSharers; ++i) {
        names->tags[i].store(kBeingWritten);
        names->labels[i].asked_at.store(kBegin);
    }
    ask(tag_at(5, 1), "key:a", kBegin + 50'000);
    EXPECT_EQ(all().size(), 0U);
    ask(tag_at(5, 1), "key:a", kBegin + 61'000);
    EXPECT_EQ(all(), std::vector<std::string>{"key:a"});
}

TEST_F(Names, NumberOfAnotherPolicyBeginsWithout) {
    ask(tag_at(5, 1), "key:a");
    forget_sharers(names.get());
    EXPECT_EQ(all().size(), 0U);
}

}  // namespace
}  // namespace ai_limit
