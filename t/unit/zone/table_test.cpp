// Tests how many keys the table keeps, and what becomes of their counts.

#include "core/zone/table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "random.h"
#include "rate_zone.h"

namespace ai_limit {
namespace {

using namespace rate_zone;
using Fixture = RateZone;

class Table : public testing::TestWithParam<Algorithm> {};

INSTANTIATE_TEST_SUITE_P(EachAlgorithm, Table, testing::ValuesIn(kRates),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(Table, ForgetsNoKeyWhileItIsFarFromFull) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        Fixture f({512, 512, 1});
        ZonePolicy policies[] = {f.policy("a", GetParam(), 100), f.policy("b", GetParam(), 100),
                                 f.policy("c", GetParam(), 100)};
        const uint64_t cells = f.cells(geometry_of(GetParam()));
        Random random(seed);
        std::map<std::pair<uint64_t, int>, Amount> expected;
        std::vector<uint64_t> keys(cells / 20);
        for (uint64_t& key : keys) {
            key = random.below(UINT64_MAX);
        }
        for (uint64_t i = 0; i < cells * 4; ++i) {
            uint64_t key = keys[random.below(keys.size())];
            int which = static_cast<int>(random.below(3));
            Amount cost = random.scaled(60);
            Amount& used = expected[{key, which}];
            bool passes = used + cost <= 100;
            ASSERT_EQ(f.take(policies[which], key, kNow, cost), passes);
            used += passes ? cost : 0;
        }
        for (const auto& [key, used] : expected) {
            ASSERT_EQ(f.used(policies[key.second], key.first), used);
        }
    }
}

TEST_P(Table, ForgetsNoLiveKeyUpToThreeQuartersFull) {
    Fixture f({8192, 4096, 1});
    ZonePolicy policy = f.policy("p", GetParam(), 1'000'000);
    const Geometry& geometry = geometry_of(GetParam());
    const uint64_t cells = f.cells(geometry);
    Random random(77);
    // One key each: those that are no longer there were forgotten.
    auto entries = [&] {
        uint64_t count = 0;
        for (uint64_t i = 0; i < f.zone.buckets(geometry); ++i) {
            for (uint32_t cell = 0; cell < geometry.cells; ++cell) {
                count += f.zone.bucket(geometry, i)->tags[cell] != 0 ? 1 : 0;
            }
        }
        return count;
    };
    uint64_t forgotten[100] = {};  // by the percentage of as many keys as there are cells
    uint64_t keys = 0;
    int first = 0;
    for (int percent = 1; percent < 100; ++percent) {
        for (; keys < cells * static_cast<uint64_t>(percent) / 100; ++keys) {
            ASSERT_TRUE(f.take(policy, random.below(UINT64_MAX)));
        }
        forgotten[percent] = keys - entries();
        first = first == 0 && forgotten[percent] != 0 ? percent : first;
    }
    auto share = [&](int percent) {
        return static_cast<double>(forgotten[percent]) * 10'000 / static_cast<double>(cells) * 100 /
               percent;
    };
    printf(
        "             of %.0f cells: the first live key is forgotten at %d %% load; of 10,000 "
        "keys %.1f by 50 %%, %.1f by 75 %%, %.1f by 90 %%\n",
        static_cast<double>(cells), first, share(50), share(75), share(90));
    EXPECT_EQ(forgotten[75], 0u);
}

TEST_P(Table, FillsEveryCellOfEightBuckets) {
    Fixture f({8, 8, 1});
    ZonePolicy policy = f.policy("p", GetParam(), 100);
    Random random(12);
    std::vector<uint64_t> keys;
    for (int i = 0; i < 2000; ++i) {
        keys.push_back(random.below(UINT64_MAX));
        ASSERT_TRUE(f.take(policy, keys.back()));
        ASSERT_EQ(f.used(policy, keys.back()), 1u) << "a new key has its own entry";
    }
    uint64_t present = 0;
    for (uint64_t key : keys) {
        present += f.used(policy, key);
    }
    EXPECT_EQ(present, f.cells(geometry_of(GetParam())));
}

}  // namespace
}  // namespace ai_limit
