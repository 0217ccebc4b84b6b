// State files of earlier formats. state-format-3.bin was written by the module before it learned
// what requests use: policies of each algorithm, an override, a request in flight, each count.

#include "core/carry/state_version.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "carry/stored_state.h"
#include "core/learn/habits.h"
#include "core/policies/overrides.h"
#include "random.h"

namespace ai_limit {
namespace {

constexpr Now kThen{1'000'000'000, 1'755'780'000'000};
constexpr Now kLater{5'000, kThen.wall + 60'000};
constexpr Millis kHour = 3'600'000;

std::string file_of_format_3() {
    std::ifstream file("t/unit/carry/state-format-3.bin", std::ios::binary);
    EXPECT_TRUE(file.good());
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

ZoneSizes small_sizes() {
    return sizes_for(64 * 1024, true, true);
}

struct Policies {
    explicit Policies(const Zone& zone)
        : bucket(add_policy(zone, "bucket", limit_of_rate(Algorithm::kTokenBucket, "24r/d"))),
          sliding(add_policy(zone, "sliding", limit_of_rate(Algorithm::kSlidingWindow, "24r/d"))),
          fixed(add_policy(zone, "fixed", limit_of_rate(Algorithm::kFixedWindow, "24r/month"))),
          tokens(add_token_policy(zone, "tokens",
                                  limit_of_rate(Algorithm::kTokenBucket, "9kt/month"))) {}

    ZonePolicy bucket, sliding, fixed;
    TokenPolicy tokens;
};

TEST(StateVersion, KeepsWhatAFileOfFormat3SaysOfKeys) {
    Restored then(file_of_format_3(), kLater, small_sizes());
    Policies policies(then.zone);
    ZoneUser user(then.zone, &kAllAlive, 1);
    for (uint64_t key = 1; key <= 3; ++key) {
        for (const ZonePolicy* policy : {&policies.bucket, &policies.sliding, &policies.fixed}) {
            EXPECT_EQ(peek(user, *policy, key << 20, kLater), 5 * key) << policy->number;
        }
    }
    // 70 of a request that had ended, 400 of one that had not.
    EXPECT_EQ(peek(user, policies.tokens.used, 1 << 20, kLater), 470u);
    EXPECT_EQ(peek(user, policies.tokens.held, 1 << 20, kLater), 0u);
}

TEST(StateVersion, KeepsWhatAFileOfFormat3SaysOfPolicies) {
    Restored then(file_of_format_3(), kLater, small_sizes());
    Policies policies(then.zone);
    const CountSums sums = sum_counts(then.zone, policies.bucket.number);
    uint64_t next = 100;
    for (uint32_t i = 0; i < kCountFields; ++i) {
        EXPECT_EQ(sums.*CountSums::kAll[i], i < 16 ? ++next : 0u) << i;
    }
    EXPECT_EQ(then.zone.policy(policies.bucket.number)->errors.load(), 7u);
    EXPECT_EQ(then.zone.policy(policies.bucket.number)->slot_duration.load(), 16u * 2500);
    const PolicyRecord& tokens = *then.zone.policy(policies.tokens.used.number);
    EXPECT_EQ(tokens.overshoot.load(), 8u);
    EXPECT_EQ(tokens.usage_missing.load(), 9u);
    EXPECT_EQ(tokens.cut.load() + tokens.settled.load() + tokens.released.load(), 0u);
    OverrideView found;
    ASSERT_TRUE(find_override(then.zone, 1 << 20, kLater.monotonic, &found));
    EXPECT_EQ(found.limit.capacity, 50u);
    EXPECT_EQ(found.expires_in, kHour - 60'000);
}

TEST(StateVersion, WritesInTheNewestFormatWhatItRead) {
    Restored then(file_of_format_3(), kLater, small_sizes());
    Restored again(state_of(then.zone, kLater), kLater, small_sizes());
    Policies policies(again.zone);
    ZoneUser user(again.zone, &kAllAlive, 1);
    EXPECT_EQ(peek(user, policies.bucket, 3 << 20, kLater), 15u);
    EXPECT_EQ(peek(user, policies.tokens.used, 1 << 20, kLater), 470u);
    EXPECT_EQ(policies.bucket.number, Policies(then.zone).bucket.number);
}

TEST(StateVersion, RefusesAFileOfFormat3ThatIsTooShortOrTooLong) {
    const std::string good = file_of_format_3();
    for (size_t size = sizeof(StateFileHead); size + 1 < good.size(); size += 8) {
        std::string bad = good.substr(0, size) + std::string(kStateSumBytes, '\0');
        mend_sum(&bad);
        EXPECT_EQ(check_state(bad) == StateFault::kNone, bad == good) << size;
    }
    std::string longer = good + std::string(16, '\0');  // an empty list of what was learned
    mend_sum(&longer);
    EXPECT_EQ(check_state(longer), StateFault::kDamaged);
}

TEST(StateVersion, RefusesACombinationOfFormatAndLayoutThatNeverWas) {
    StateVersion version;
    EXPECT_TRUE(find_state_version(kStateFormat, kLayoutVersion, &version));
    EXPECT_TRUE(find_state_version(kStateFormat, kLayoutVersion - 1, &version));
    EXPECT_EQ(version.counts, kCountFields);
    EXPECT_TRUE(find_state_version(3, 11, &version));
    EXPECT_EQ(version.counts, 16u);
    EXPECT_FALSE(find_state_version(3, kLayoutVersion, &version));
    EXPECT_TRUE(find_state_version(4, 15, &version));
    EXPECT_FALSE(version.has_models);
    EXPECT_FALSE(find_state_version(4, kLayoutVersion, &version));
    EXPECT_FALSE(find_state_version(kStateFormat, 15, &version));
    EXPECT_FALSE(find_state_version(kStateFormat, 11, &version));
    EXPECT_FALSE(find_state_version(2, 11, &version));
    EXPECT_FALSE(find_state_version(3, 11 | 0xffff0000, &version));
}

/** Returns a file as the module wrote it before it counted days and models. */
std::string as_format_4(std::string file) {
    const uint32_t head[] = {4, 15 + kCountsLayout};
    std::memcpy(file.data() + offsetof(StateFileHead, format), head, sizeof(head));
    const size_t day_start = offsetof(PolicyPart, record) + offsetof(PolicyRecord, day_start);
    size_t part = sizeof(StateFileHead);
    bool is_last = false;
    for (; !is_last; part += sizeof(PolicyPart) - 8) {
        uint32_t number = 0;
        std::memcpy(&number, file.data() + part, sizeof(number));
        is_last = number == 0;
        file.erase(part + day_start, 8);
    }
    file.erase(file.size() - kStateSumBytes - 2 * sizeof(ModelPart), 2 * sizeof(ModelPart));
    mend_sum(&file);
    return file;
}

TEST(StateVersion, ReadsAFileFromBeforeDaysWereCounted) {
    constexpr DayNumber kDay = 20'000;
    ZoneMemory memory(small_sizes());
    Policies policies(memory.zone());
    const uint32_t number = policies.tokens.used.number;
    count_settled(memory.zone(), number, 30, 40, kDay);
    memory.zone().policy(number)->slot_duration.store(16 * 2500);
    Restored then(as_format_4(state_of(memory.zone(), kThen)), kLater, small_sizes());
    const PolicyRecord& record = *then.zone.policy(number);
    EXPECT_EQ(record.settled.load(), 30u);
    EXPECT_EQ(record.released.load(), 40u);
    EXPECT_EQ(record.slot_duration.load(), 16u * 2500);
    EXPECT_EQ(charged_on(then.zone, "tokens", Measure::kTokens, kDay), 0u);
    count_settled(then.zone, number, 5, 0, kDay);
    EXPECT_EQ(charged_on(then.zone, "tokens", Measure::kTokens, kDay), 5u);
}

TEST(StateVersion, TakesNoHarmFromAbsurdValuesInAFileOfFormat3) {
    const std::string good = file_of_format_3();
    int accepted = 0;
    for (uint64_t seed = 1; seed <= 3'000; ++seed) {
        Random random(seed);
        std::string bad = good;
        const int64_t at = random.between(offsetof(StateFileHead, monotonic),
                                          static_cast<int64_t>(bad.size() - kStateSumBytes - 8));
        const uint64_t word = random.between(0, 1) == 0 ? ~uint64_t{0} >> random.between(0, 63)
                                                        : uint64_t{1} << random.between(0, 63);
        std::memcpy(bad.data() + at / 8 * 8, &word, sizeof(word));
        mend_sum(&bad);
        if (check_state(bad) == StateFault::kNone) {
            ++accepted;
            Restored then(bad, kLater, small_sizes());
            Policies policies(then.zone);
            ZoneUser user(then.zone, &kAllAlive, 1);
            Request(user).charge(policies.bucket, 1 << 20).admit(kLater);
            Request(user).charge_tokens(policies.tokens, 1 << 20, 10).admit(kLater);
        }
    }
    EXPECT_GT(accepted, 100);
    EXPECT_LT(accepted, 2'900);
}

}  // namespace
}  // namespace ai_limit
