// Writes a zone's state and reads it again: later, by another clock, into another size. Reads also
// the bytes of damaged and foreign files and of other versions.

#include "core/carry/state_file.h"

#include <gtest/gtest.h>

#include <string>

#include "carry/stored_state.h"
#include "core/keys/key_entry.h"
#include "core/learn/habits.h"
#include "core/observe/meters.h"
#include "core/observe/models.h"
#include "core/policies/overrides.h"
#include "random.h"

namespace ai_limit {
namespace {

constexpr Now kNow{1'000'000'000, 1'755'780'000'000};
constexpr Millis kHour = 3'600'000;
constexpr Millis kDay = 24 * kHour;

ZoneSizes small_sizes() {
    return sizes_for(64 * 1024, true, true);
}

std::string state_of(const Zone& zone) {
    return state_of(zone, kNow);
}

/** A zone that was read from bytes. */
struct RestoredZone : Restored {
    RestoredZone(const std::string& bytes, Now now, const ZoneSizes& sizes = small_sizes())
        : Restored(bytes, now, sizes) {}
};

Now at(Millis monotonic, Millis wall_passed) {
    return {monotonic, kNow.wall + wall_passed};
}

class StoredState : public testing::TestWithParam<Algorithm> {};

INSTANTIATE_TEST_SUITE_P(EachAlgorithm, StoredState, testing::ValuesIn(kRates),
                         [](const auto& info) { return name_of(info.param); });

/** As much time goes by as by the wall clock, whatever the new clock shows. */
TEST_P(StoredState, KeepsWhatWasUsedAndRefillsItInTime) {
    Limit limit = limit_of_rate(GetParam(), "24r/d");
    for (Millis uptime : {Millis{0}, Millis{5'000}, 20 * kDay, 900 * kDay}) {
        ZoneMemory memory(small_sizes());
        ZonePolicy policy = add_policy(memory.zone(), "user", limit);
        ZoneUser user(memory.zone(), &kAllAlive, 1);
        ASSERT_TRUE(Request(user).charge(policy, 1 << 20, 20).admit(kNow));
        RestoredZone then(state_of(memory.zone()), at(uptime, 60'000));
        ZoneUser reader(then.zone, &kAllAlive, 1);
        ZonePolicy known = add_policy(then.zone, "user", limit);
        EXPECT_EQ(known.number, policy.number);
        EXPECT_EQ(peek(reader, known, 1 << 20, at(uptime, 60'000)), 20u) << uptime;
        Now later = at(uptime + kDay + kDay / 8, 60'000 + kDay + kDay / 8);
        EXPECT_EQ(peek(reader, known, 1 << 20, later), 0u) << uptime;
        EXPECT_TRUE(is_at_rest(then.zone));
    }
}

TEST_P(StoredState, ReleasesWhatWasRefilledMeanwhile) {
    Limit limit = limit_of_rate(GetParam(), "24r/d");
    ZoneMemory memory(small_sizes());
    ZonePolicy policy = add_policy(memory.zone(), "user", limit);
    ZoneUser user(memory.zone(), &kAllAlive, 1);
    ASSERT_TRUE(Request(user).charge(policy, 1 << 20, 20).admit(kNow));
    RestoredZone then(state_of(memory.zone()), at(5'000, 3 * kDay));
    EXPECT_EQ(count_entries(then.zone), 0u);
}

TEST(State, KeepsWhatWasLearned) {
    ZoneMemory memory(small_sizes());
    const HabitOwner owner = {1 << 20, 2 << 20};
    for (int i = 0; i < 10; ++i) {
        note_use(memory.zone(), owner, {300, true, false, 2000, 4000}, kNow.wall);
    }
    const UsualUse before = find_usual_use(memory.zone(), owner, true);
    RestoredZone then(state_of(memory.zone()), at(5'000, 3 * kDay));
    const UsualUse after = find_usual_use(then.zone, owner, true);
    EXPECT_TRUE(after.knows_output);
    EXPECT_EQ(after.output, before.output);
    EXPECT_EQ(after.prompt_ratio, before.prompt_ratio);
    Habit habit{};
    EXPECT_TRUE(read_habit(then.zone, {owner.key, 0}, &habit));
    RestoredZone larger(state_of(then.zone), at(5'000, 3 * kDay), sizes_for(16 << 20, true, true));
    EXPECT_EQ(find_usual_use(larger.zone, owner, true).output, before.output);
}

TEST(State, CountsNoTimeIfTheWallClockWasSetBack) {
    Limit limit = limit_of_rate(Algorithm::kTokenBucket, "24r/d");
    ZoneMemory memory(small_sizes());
    ZonePolicy policy = add_policy(memory.zone(), "user", limit);
    ZoneUser user(memory.zone(), &kAllAlive, 1);
    ASSERT_TRUE(Request(user).charge(policy, 1 << 20, 20).admit(kNow));
    Now back = at(7'000, -5 * kDay);
    RestoredZone then(state_of(memory.zone()), back);
    ZoneUser reader(then.zone, &kAllAlive, 1);
    EXPECT_EQ(peek(reader, policy, 1 << 20, back), 20u);
    EXPECT_EQ(peek(reader, policy, 1 << 20, {7'000 + kHour, back.wall + kHour}), 19u);
}

/** Never more than the quota in any interval, over a restart at any moment, by any clock. */
TEST(State, KeepsASlidingWindowExactOverARestart) {
    Limit limit = limit_of_rate(Algorithm::kSlidingWindow, "10r/8s");
    for (uint64_t seed = 1; seed <= 300; ++seed) {
        Random random(seed);
        ZoneMemory memory(small_sizes());
        ZonePolicy policy = add_policy(memory.zone(), "user", limit);
        std::vector<Millis> passed;  // by the wall
        Millis wall = 0;
        Millis monotonic = random.between(0, 100'000);
        {
            ZoneUser user(memory.zone(), &kAllAlive, 1);
            for (int i = 0; i < 60; ++i) {
                Millis step = random.between(0, 600);
                wall += step;
                monotonic += step;
                if (Request(user).charge(policy, 1 << 20).admit(at(monotonic, wall))) {
                    passed.push_back(wall);
                }
            }
        }
        std::string bytes = state_of(memory.zone(), at(monotonic, wall));
        wall += random.between(0, 3'000);
        monotonic = random.between(0, 30'000);
        RestoredZone then(bytes, at(monotonic, wall));
        ZoneUser user(then.zone, &kAllAlive, 1);
        for (int i = 0; i < 60; ++i) {
            if (Request(user).charge(policy, 1 << 20).admit(at(monotonic, wall))) {
                passed.push_back(wall);
            }
            Millis step = random.between(0, 600);
            wall += step;
            monotonic += step;
        }
        for (size_t i = 0; i + 10 < passed.size(); ++i) {
            ASSERT_GE(passed[i + 10] - passed[i], 8'000) << "seed " << seed;
        }
        ASSERT_GE(passed.size(), 20u);
    }
}

TEST(State, ChargesReservedTokensWhenNginxHasEnded) {
    Limit limit = limit_of_rate(Algorithm::kTokenBucket, "1000t/month");
    ZoneMemory memory(small_sizes());
    TokenPolicy policy = add_token_policy(memory.zone(), "tokens", limit);
    ZonePolicy slots = add_policy(memory.zone(), "slots", concurrency_limit(5));
    ZoneUser user(memory.zone(), &kAllAlive, 1);
    Request request(user);
    request.charge(slots, 1 << 20).charge_tokens(policy, 1 << 20, 300);
    ASSERT_TRUE(request.admit(kNow));
    RestoredZone then(state_of(memory.zone()), kNow);
    ZoneUser reader(then.zone, &kAllAlive, 1);
    EXPECT_EQ(peek(reader, policy.used, 1 << 20, kNow), 300u);
    EXPECT_EQ(peek(reader, policy.held, 1 << 20, kNow), 0u);
    EXPECT_EQ(peek(reader, slots, 1 << 20, kNow), 0u);
    EXPECT_EQ(flights_in(then.zone), 0u);
}

TEST(State, KeepsCountsAndOverrides) {
    ZoneMemory memory(small_sizes());
    ZonePolicy policy = add_policy(memory.zone(), "user", hourly(Algorithm::kTokenBucket, 5));
    for (uint32_t process = 1; process < 12; ++process) {
        count_one(&counts_of(memory.zone(), policy.number, process)->passed);
        count_tokens(counts_of(memory.zone(), policy.number, process), {3, 2, 1});
    }
    Limit raised = hourly(Algorithm::kTokenBucket, 50);
    ASSERT_TRUE(set_override(
        memory.zone(), {1 << 20, policy.number, &raised, "50r/h", "ip:a", kNow.monotonic + kHour},
        kNow.monotonic));
    ASSERT_TRUE(set_override(
        memory.zone(), {2 << 20, policy.number, &raised, "50r/h", "ip:b", kNow.monotonic + 60'000},
        kNow.monotonic));
    RestoredZone then(state_of(memory.zone()), at(5'000, 60'000));
    PolicyTotals totals = read_totals(then.zone, "user", Measure::kRequests);
    EXPECT_EQ(totals.passed, 11u);
    EXPECT_EQ(totals.input_tokens, 33u);
    EXPECT_EQ(totals.output_tokens, 22u);
    OverrideView found;
    ASSERT_TRUE(find_override(then.zone, 1 << 20, 5'000, &found));
    EXPECT_EQ(found.expires_in, kHour - 60'000);
    EXPECT_EQ(found.limit.capacity, 50u);
    EXPECT_FALSE(find_override(then.zone, 2 << 20, 5'000, &found));
}

TEST(State, KeepsEveryCount) {
    ZoneMemory memory(small_sizes());
    ZonePolicy policy = add_policy(memory.zone(), "user", hourly(Algorithm::kTokenBucket, 5));
    PolicyCounts* counts = counts_of(memory.zone(), policy.number, 3);
    uint64_t next = 100;
    for (auto count : PolicyCounts::kAll) {
        (counts->*count).store(++next);
    }
    RestoredZone then(state_of(memory.zone()), at(5'000, 60'000));
    CountSums sums = sum_counts(then.zone, policy.number);
    uint64_t expected = 100;
    for (auto sum : CountSums::kAll) {
        EXPECT_EQ(sums.*sum, ++expected);
    }
}

TEST(State, KeepsWhatWasChargedTodayByPolicyAndByModel) {
    constexpr DayNumber kDay = 20'000;
    ZoneMemory memory(small_sizes());
    const uint32_t number =
        add_policy(memory.zone(), "user", hourly(Algorithm::kTokenBucket, 5)).number;
    count_settled(memory.zone(), number, 30, 0, kDay - 1);
    count_settled(memory.zone(), number, 12, 0, kDay);
    for (int model = 0; model < 40; ++model) {
        count_model(memory.zone(), {"m" + std::to_string(model), true}, {10, 2, 3}, 7, kDay);
    }
    RestoredZone then(state_of(memory.zone()), at(5'000, 60'000));
    EXPECT_EQ(charged_on(then.zone, "user", Measure::kRequests, kDay), 12u);
    EXPECT_EQ(charged_on(then.zone, "user", Measure::kRequests, kDay + 1), 0u);
    count_model(then.zone, {"m0", true}, {10, 2, 3}, 7, kDay);
    ModelView models[kModelRows];
    ModelViews views{models, 0, {}};
    add_models(then.zone, kDay, &views);
    ASSERT_EQ(views.count, kModelRows);
    uint64_t sum = views.others.today.cost;
    for (const ModelView& model : models) {
        sum += model.today.cost;
    }
    EXPECT_EQ(sum, 41u * 7);
    EXPECT_GE(views.others.total.answers, 8u);
}

TEST(State, KeepsTheMostImportantEntriesInASmallerZone) {
    ZoneMemory memory(sizes_for(256 * 1024, true, false));
    ZonePolicy policy = add_policy(memory.zone(), "user", hourly(Algorithm::kTokenBucket, 5));
    ZoneUser user(memory.zone(), &kAllAlive, 1);
    constexpr uint64_t kKeys = 5'000;
    for (uint64_t i = 1; i <= kKeys; ++i) {
        Request(user).charge(policy, i * 0x9E3779B97F4A7C15, i % 100 == 0 ? 5 : 1).admit(kNow);
    }
    RestoredZone then(state_of(memory.zone()), kNow, sizes_for(64 * 1024, true, false));
    EXPECT_LT(count_entries(then.zone), kKeys);
    EXPECT_GT(count_entries(then.zone), count_cells(then.zone) / 2);
    ZoneUser reader(then.zone, &kAllAlive, 1);
    uint64_t kept = 0;
    for (uint64_t i = 100; i <= kKeys; i += 100) {
        kept += look(reader, policy, i * 0x9E3779B97F4A7C15, kNow) == 5 ? 1 : 0;
    }
    EXPECT_EQ(kept, kKeys / 100);
}

TEST(State, DistinguishesTheReasonsWhyAFileCannotBeRead) {
    ZoneMemory memory(small_sizes());
    add_policy(memory.zone(), "user", hourly(Algorithm::kTokenBucket, 5));
    const std::string good = state_of(memory.zone());
    EXPECT_EQ(check_state(good), StateFault::kNone);
    EXPECT_EQ(check_state(""), StateFault::kForeign);
    EXPECT_EQ(check_state(std::string(1000, 'x')), StateFault::kForeign);
    EXPECT_EQ(check_state("#!/bin/sh\n" + good), StateFault::kForeign);
    for (size_t size = kStateHeadBytes; size < good.size(); size += 97) {
        EXPECT_EQ(check_state(good.substr(0, size)), StateFault::kDamaged) << size;
    }
    EXPECT_EQ(check_state(good + "x"), StateFault::kDamaged);
    for (size_t i = offsetof(StateFileHead, origin); i < good.size(); i += 31) {
        std::string bad = good;
        bad[i] = static_cast<char>(bad[i] ^ 1);
        EXPECT_EQ(check_state(bad), StateFault::kDamaged) << i;
    }
    std::string other = good;
    other[offsetof(StateFileHead, layout)] = static_cast<char>(kLayoutVersion + 1);
    EXPECT_EQ(check_state(other), StateFault::kNewer);
    other[offsetof(StateFileHead, layout)] = 13;  // no file of this format has it
    EXPECT_EQ(check_state(other), StateFault::kOlder);
    other[offsetof(StateFileHead, format)] = static_cast<char>(kStateFormat + 1);
    EXPECT_EQ(check_state(other), StateFault::kNewer);
    StateOrigin origin;
    ASSERT_TRUE(read_state_origin(good, &origin));
    EXPECT_EQ(origin.pid, kOrigin.pid);
    EXPECT_EQ(origin.birth, kOrigin.birth);
    EXPECT_FALSE(read_state_origin("AILIMIT\n", &origin));
}

TEST(State, StopsIfItCannotWrite) {
    ZoneMemory memory(small_sizes());
    auto full = [](void* data, const char*, size_t size) {
        size_t* room = static_cast<size_t*>(data);
        bool fits = size <= *room;
        *room -= fits ? size : *room;
        return fits;
    };
    for (size_t room : {size_t{0}, size_t{100}, size_t{1000}}) {
        EXPECT_FALSE(write_state(memory.zone(), kOrigin, kNow, {full, &room}));
    }
}

}  // namespace
}  // namespace ai_limit
