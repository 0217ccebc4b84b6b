// The keys that stand out: they are found among many, and counted no higher than they were seen.

#include "core/observe/top_keys.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "random.h"

namespace ai_limit {
namespace {

constexpr uint64_t kEpoch = 7;
constexpr size_t kMost = 10;

struct Seen {
    std::unique_ptr<TopKeys> keys = std::make_unique<TopKeys>();

    void note(uint64_t tag, const std::string& key, uint64_t amount = 1, uint64_t epoch = kEpoch) {
        note_key(keys.get(), TopMeasure::kRequests, epoch, tag, key, amount);
    }

    std::map<std::string, uint64_t> top(uint64_t epoch = kEpoch) const {
        TopKey best[kMost];
        size_t count = read_top_keys(*keys, TopMeasure::kRequests, epoch, best, kMost);
        std::map<std::string, uint64_t> all;
        for (size_t i = 0; i < count; ++i) {
            EXPECT_TRUE(i == 0 || best[i - 1].count >= best[i].count);
            all[std::string(best[i].shown())] = best[i].count;
        }
        return all;
    }
};

/** Returns a tag as a zone would: any 64 bits but small ones. */
uint64_t tag_number(uint64_t number) {
    return (number + 1) * 0x9E3779B97F4A7C15 | 256;
}

TEST(TopKeys, CountFewKeysExactly) {
    Seen seen;
    seen.note(tag_number(1), "ip:10.0.0.1", 3);
    seen.note(tag_number(2), "ip:10.0.0.2");
    seen.note(tag_number(1), "ip:10.0.0.1", 4);
    EXPECT_EQ(seen.top(),
              (std::map<std::string, uint64_t>{{"ip:10.0.0.1", 7}, {"ip:10.0.0.2", 1}}));
}

TEST(TopKeys, HaveTheLabelThatTheyWereFirstSeenWith) {
    Seen seen;
    note_key(seen.keys.get(), TopMeasure::kRequests, kEpoch, tag_number(1), "ip:1", 5, "Acme");
    note_key(seen.keys.get(), TopMeasure::kRequests, kEpoch, tag_number(2), "ip:2", 4, "");
    note_key(seen.keys.get(), TopMeasure::kRequests, kEpoch, tag_number(3), "ip:3", 3,
             std::string(200, 'x'));
    TopKey best[kMost];
    ASSERT_EQ(read_top_keys(*seen.keys, TopMeasure::kRequests, kEpoch, best, kMost), 3U);
    EXPECT_EQ(best[0].label.view(), "Acme");
    EXPECT_EQ(best[1].label.view(), "");
    EXPECT_EQ(best[2].label.view(), std::string(60, 'x') + "\xE2\x80\xA6") << "cut to 63 bytes";
}

TEST(TopKeys, FindTheLabelOfAKeyByItsTag) {
    Seen seen;
    ShownLabel label{};
    EXPECT_FALSE(find_label(*seen.keys, tag_number(1), &label));
    seen.note(tag_number(1), "ip:1", 5);
    EXPECT_FALSE(find_label(*seen.keys, tag_number(1), &label)) << "it has none";
    note_key(seen.keys.get(), TopMeasure::kCharges, kEpoch + 1, tag_number(1), "ip:1", 5,
             "M\xC3\xBCller \"x\"");
    ASSERT_TRUE(find_label(*seen.keys, tag_number(1), &label));
    EXPECT_EQ(label.view(), "M\\xC3\\xBCller \\x22x\\x22");
    EXPECT_FALSE(find_label(*seen.keys, tag_number(2), &label));
}

TEST(NearKeys, AreThoseOfWhichTheSmallestPartRemains) {
    NearKeys near{};
    const auto add = [&near](uint64_t tag, Amount limit, Amount remaining) {
        NearKey one{};
        one.key.tag = tag;
        one.said = {limit, remaining, 0};
        add_near_key(one, &near);
    };
    add(1, 100, 51);  // has used less than half
    add(2, 0, 0);     // is blocked
    add(3, 100, 50);
    add(4, 1'000'000, 100);
    add(5, 10, 1);
    ASSERT_EQ(near.count, 3U);
    EXPECT_EQ(near.keys[0].key.tag, 4U);
    EXPECT_EQ(near.keys[1].key.tag, 5U);
    EXPECT_EQ(near.keys[2].key.tag, 3U);
    EXPECT_TRUE(has_key(near, 5));
    EXPECT_FALSE(has_key(near, 1));
    for (uint64_t tag = 10; tag < 30; ++tag) {
        add(tag, 1000, 40 - tag);
    }
    EXPECT_EQ(near.count, kMostNearKeys);
    EXPECT_EQ(near.keys[0].key.tag, 4U);
    EXPECT_EQ(near.keys[1].key.tag, 29U);
    EXPECT_FALSE(has_key(near, 3)) << "it has made room for nearer ones";
}

TEST(TopKeys, ShortenSecretsAndMarkThemAsShortened) {
    Seen seen;
    seen.note(tag_number(1), "sk-1234567890abcdef", 2);
    seen.note(tag_number(2), "key:0123456789abcdef0123456789abcdef");
    TopKey best[kMost];
    ASSERT_EQ(read_top_keys(*seen.keys, TopMeasure::kRequests, kEpoch, best, kMost), 2u);
    EXPECT_EQ(best[0].shown(),
              "sk-1\xE2\x80\xA6"
              "cdef");
    EXPECT_FALSE(best[0].name.is_whole);
    EXPECT_EQ(best[1].shown(), "key:0123456789abcdef0123456789abcdef");
    EXPECT_TRUE(best[1].name.is_whole);
}

TEST(TopKeys, CutLongKeysAndMarkThemAsCut) {
    Seen seen;
    seen.note(tag_number(1), "ip:" + std::string(200, 'x'));
    TopKey best[kMost];
    ASSERT_EQ(read_top_keys(*seen.keys, TopMeasure::kRequests, kEpoch, best, kMost), 1u);
    EXPECT_EQ(best[0].shown(), "ip:" + std::string(kMaxTopKeyText - 6, 'x') + "\xE2\x80\xA6");
    EXPECT_FALSE(best[0].name.is_whole);
}

TEST(TopKeys, KeepMeasuresApart) {
    Seen seen;
    note_key(seen.keys.get(), TopMeasure::kCharges, kEpoch, tag_number(1), "ip:1", 5);
    EXPECT_TRUE(seen.top().empty());
}

TEST(TopKeys, ShowHeavyKeysAmongManyLightOnes) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
        Seen seen;
        Random random(seed);
        std::map<std::string, uint64_t> truth;
        for (uint64_t i = 0; i < 200'000; ++i) {
            // Five keys with two in a hundred requests each, 180,000 keys with one request each.
            uint64_t heavy = random.below(50);
            uint64_t number = heavy < 5 ? heavy : 1000 + i;
            std::string key = "ip:" + std::to_string(number);
            ++truth[key];
            seen.note(tag_number(number), key);
        }
        std::map<std::string, uint64_t> top = seen.top();
        for (uint64_t heavy = 0; heavy < 5; ++heavy) {
            std::string key = "ip:" + std::to_string(heavy);
            ASSERT_TRUE(top.count(key)) << "seed " << seed << " misses " << key;
            EXPECT_GE(top[key], truth[key] * 9 / 10);
        }
        for (const auto& [key, count] : top) {
            EXPECT_LE(count, truth[key]) << key;
        }
    }
}

TEST(TopKeys, KeepAListForItsPeriodAndTheNext) {
    Seen seen;
    seen.note(tag_number(1), "ip:1", 5);
    seen.note(tag_number(1), "ip:1", 2, kEpoch + 1);
    seen.note(tag_number(2), "ip:2", 1, kEpoch + 1);
    EXPECT_EQ(seen.top(kEpoch + 1), (std::map<std::string, uint64_t>{{"ip:1", 7}, {"ip:2", 1}}));
    EXPECT_EQ(seen.top(kEpoch + 2), (std::map<std::string, uint64_t>{{"ip:1", 2}, {"ip:2", 1}}));
    EXPECT_TRUE(seen.top(kEpoch + 3).empty());
    seen.note(tag_number(3), "ip:3", 1, kEpoch + 3);
    EXPECT_EQ(seen.top(kEpoch + 3), (std::map<std::string, uint64_t>{{"ip:3", 1}}));
}

TEST(TopKeys, KeepAListIfAProcesssClockIsLate) {
    Seen seen;
    seen.note(tag_number(1), "ip:1", 5, kEpoch + 2);
    seen.note(tag_number(2), "ip:2", 5, kEpoch);
    EXPECT_EQ(seen.top(kEpoch + 2), (std::map<std::string, uint64_t>{{"ip:1", 5}}));
}

TEST(TopKeys, CountForOneDayInAListOfTheDay) {
    TopList list{};
    note_in_list(&list, epoch_of_day(20'000), tag_number(1), "ip:1", 5);
    note_in_list(&list, epoch_of_day(20'000), tag_number(2), "ip:2", 6);
    note_in_list(&list, epoch_of_day(20'000), tag_number(1), "ip:1", 5);
    TopKey best[kMost];
    ASSERT_EQ(read_day_keys(list, 20'000, best, kMost), 2u);
    EXPECT_EQ(best[0].shown(), "ip:1");
    EXPECT_EQ(best[0].count, 10u);
    EXPECT_EQ(read_day_keys(list, 20'001, best, kMost), 0u);
    note_in_list(&list, epoch_of_day(20'001), tag_number(1), "ip:1", 3);
    ASSERT_EQ(read_day_keys(list, 20'001, best, kMost), 1u);
    EXPECT_EQ(best[0].count, 3u);
}

TEST(TopKeys, HideAPlaceThatIsBeingWritten) {
    Seen seen;
    seen.note(tag_number(1), "ip:1", 5);
    TopList& list = seen.keys->lists[0][kEpoch % 2];
    for (TopSet& set : list.sets) {
        for (auto& tag : set.tags) {
            if (tag.load() != 0) {
                tag.store(1);  // its writer was killed
            }
        }
    }
    EXPECT_TRUE(seen.top().empty());
    seen.note(tag_number(1), "ip:1", 5);
    EXPECT_EQ(seen.top(), (std::map<std::string, uint64_t>{{"ip:1", 5}}));
}

}  // namespace
}  // namespace ai_limit
