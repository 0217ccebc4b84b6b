// The sums over the sharers of a key, while several processes work on them.

#include "core/sharers/activity.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "core/sharers/service.h"
#include "random.h"

namespace ai_limit {
namespace {

constexpr uint32_t kFirst = 1'000;  // the first slice
constexpr int kTimes = 20'000;      // in each of them

/** What one process does to the sums: its sharers ask again and again, each with other numbers. */
class Process {
public:
    Process(KeyActivity* activity, uint64_t seed) : activity_(activity), random_(seed) {}

    /** Sharers ask at the end of the slice before `slice`, and in it: clocks differ a little. */
    void work(uint32_t slice) {
        for (int i = 0; i < kTimes; ++i) {
            Activity* one = &sharers_[random_.below(kSharers)];
            Activity after{};
            after.slice = std::max(one->slice, slice - static_cast<uint32_t>(random_.below(2)));
            after.weight = 1 + random_.below(1000);
            after.need = random_.below(1'000'000);
            after.used = random_.below(after.need + 1);
            count_activity(activity_, *one, after);
            *one = after;
            latest_ = later_service(latest_, uint64_t{slice} * 1'000'000 + random_.below(kTimes));
            advance_service(activity_, latest_);
        }
    }

    void add_to(OtherSharers* all) const {
        for (const Activity& one : sharers_) {
            all->weights += one.weight;
            all->claims += one.need - one.used;
        }
    }

    uint64_t latest() const { return latest_; }

private:
    static constexpr size_t kSharers = 8;

    KeyActivity* activity_;
    Random random_;
    Activity sharers_[kSharers] = {};
    uint64_t latest_ = 0;
};

TEST(SumsOfSharers, AreThoseOfAllProcessesThatChangedThemAtTheSameTime) {
    KeyActivity activity{};
    Process one(&activity, 1);
    Process other(&activity, 2);
    // As many slices as it takes to use the words of each of them several times.
    for (uint32_t slice = kFirst; slice < kFirst + 3 * kActivitySlices; ++slice) {
        std::thread thread([&] { one.work(slice); });
        other.work(slice);
        thread.join();
        OtherSharers expected{};
        one.add_to(&expected);
        other.add_to(&expected);
        const OtherSharers all = others_of(activity, {}, {slice, kActivitySlices + 1});
        ASSERT_EQ(all.weights, expected.weights) << slice;
        ASSERT_EQ(all.claims, expected.claims) << slice;
        ASSERT_EQ(activity.served.load(), later_service(one.latest(), other.latest()));
    }
}

TEST(SumsOfSharers, AreNothingWhenNobodyHasAskedForLong) {
    KeyActivity activity{};
    Process(&activity, 1).work(kFirst);
    const uint32_t last = kFirst + kActivitySlices;
    EXPECT_NE(others_of(activity, {}, {last, kActivitySlices + 1}).weights, 0U);
    EXPECT_EQ(others_of(activity, {}, {last + 1, kActivitySlices + 1}).weights, 0U);
}

}  // namespace
}  // namespace ai_limit
