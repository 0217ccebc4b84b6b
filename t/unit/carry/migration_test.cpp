// A zone that is copied into one of another size while requests hold tokens.

#include "core/carry/migration.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "deaths.h"
#include "random.h"
#include "zone_memory.h"

namespace ai_limit {
namespace {

constexpr Now kNow{1'000'000'000, 1'755'780'000'000};
constexpr uint64_t kKey = 0x1234'5678'9abc'def0;

class TokenMigration : public testing::TestWithParam<Algorithm> {
protected:
    void SetUp() override {
        for (bool& dead : g_is_dead) {
            dead = false;
        }
    }

    /** Copies as the master, process 9. */
    static void copy(const ZoneMemory& from, const ZoneMemory& to) {
        ZoneUser master(from.zone(), &kStepHost, 9);
        copy_zone(master.journal(), to.zone(), kNow);
        master.journal()->retire(master.journal()->number());
    }

    Request held(const ZoneUser& worker, uint64_t key, Amount reserve) const {
        Request request(worker);
        EXPECT_TRUE(request.charge_tokens(policy, key, reserve).admit(kNow));
        return request;
    }

    ZoneMemory old{{64, 64, 4}};
    ZoneUser worker{old.zone(), &kStepHost, 1};
    TokenPolicy policy =
        add_token_policy(old.zone(), "tokens", limit_of_rate(GetParam(), "100kt/month"));
};

INSTANTIATE_TEST_SUITE_P(Of, TokenMigration, testing::ValuesIn(kRates),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(TokenMigration, KeepsReservationsUntilTheOldProcessEndsAndChargesThemThen) {
    Random random(1);
    std::vector<uint64_t> keys;
    for (int i = 0; i < 40; ++i) {
        keys.push_back(random.below(UINT64_MAX));
        held(worker, keys.back(), 1000).settle(0, 100, kNow);
        held(worker, keys.back(), 2000);
        held(worker, keys.back(), 30);
    }
    const ZoneMemory next({128, 128, 8});
    copy(old, next);
    ASSERT_TRUE(is_at_rest(next.zone()));
    ZoneUser heir(next.zone(), &kStepHost, 2);
    reclaim_dead(heir.journal(), kNow);
    EXPECT_EQ(flights_in(next.zone()), 80u);
    for (const uint64_t key : keys) {
        ASSERT_EQ(look(heir, policy.held, key, kNow), 2030u);
        ASSERT_EQ(look(heir, policy.used, key, kNow), 100u);
    }
    g_is_dead[1] = true;
    reclaim_dead(heir.journal(), kNow);
    for (const uint64_t key : keys) {
        ASSERT_EQ(look(heir, policy.held, key, kNow), 0u);
        ASSERT_EQ(look(heir, policy.used, key, kNow), 2130u);
    }
    EXPECT_EQ(flights_in(next.zone()), 0u);
    EXPECT_EQ(entries_of(next.zone(), policy.held), 0u);
    EXPECT_TRUE(is_at_rest(next.zone()));
}

TEST_P(TokenMigration, KeepsTheLimitsByWhichReservationsAreSettled) {
    // Which neither the slowest nor the latest is.
    const TokenPolicy varying =
        add_token_policy(old.zone(), "varying", limit_of_rate(GetParam(), "1t/s"), true);
    TokenPolicy own = varying;
    for (const char* rate : {"10t/h", "500t/h", "20t/m"}) {
        Limit limit = limit_of_rate(GetParam(), rate);
        note_limit(old.zone(), varying.used.number, &limit);
        own.used.limit = rate[0] == '5' ? limit : own.used.limit;
    }
    Request request(worker);
    ASSERT_TRUE(request.charge_tokens(own, kKey, 400).admit(kNow));
    const ZoneMemory next({128, 128, 8});
    copy(old, next);
    ZoneUser heir(next.zone(), &kStepHost, 2);
    g_is_dead[1] = true;
    reclaim_dead(heir.journal(), kNow);
    EXPECT_EQ(look(heir, own.used, kKey, kNow), 400u);
    EXPECT_EQ(next.zone().policy(own.used.number)->overshoot.load(), 0u);
}

TEST_P(TokenMigration, LeavesNoCountWithoutARecordInAZoneTooSmallForTheReservations) {
    Random random(2);
    std::vector<uint64_t> keys;
    for (int i = 0; i < 150; ++i) {
        keys.push_back(random.below(UINT64_MAX));
        held(worker, keys.back(), 1 + random.below(500));
    }
    const ZoneMemory next({8, 8, 1});
    copy(old, next);
    ZoneUser heir(next.zone(), &kStepHost, 2);
    EXPECT_GT(flights_in(next.zone()), 30u);
    EXPECT_EQ(flights_in(next.zone()), entries_of(next.zone(), policy.held));
    g_is_dead[1] = true;
    reclaim_dead(heir.journal(), kNow);
    EXPECT_EQ(flights_in(next.zone()), 0u);
    EXPECT_EQ(entries_of(next.zone(), policy.held), 0u);
}

TEST_P(TokenMigration, TakesNoRequestsInFlightIntoAZoneWithoutSmallEntries) {
    const ZonePolicy slots = add_policy(old.zone(), "slots", hourly(Algorithm::kConcurrency, 9));
    const ZonePolicy sliding =
        add_policy(old.zone(), "sliding", hourly(Algorithm::kSlidingWindow, 9));
    Random random(3);
    std::vector<uint64_t> keys;
    for (int i = 0; i < 30; ++i) {
        keys.push_back(random.below(UINT64_MAX));
        held(worker, keys.back(), 100);
        ASSERT_TRUE(
            Request(worker).charge(slots, keys.back()).charge(sliding, keys.back()).admit(kNow));
    }
    const ZoneMemory next({0, 64, 4});
    copy(old, next);
    ZoneUser heir(next.zone(), &kStepHost, 2);
    g_is_dead[1] = true;
    reclaim_dead(heir.journal(), kNow);
    ASSERT_TRUE(is_at_rest(next.zone()));
    EXPECT_EQ(flights_in(next.zone()), 0u);
    for (const uint64_t key : keys) {
        EXPECT_EQ(look(heir, sliding, key, kNow), 1u);
    }
}

TEST_P(TokenMigration, KeepsReservationsInAZoneWithoutWideEntries) {
    held(worker, kKey, 100);
    held(worker, kKey, 20);
    const ZoneMemory next({64, 0, 4});
    copy(old, next);
    ZoneUser heir(next.zone(), &kStepHost, 2);
    EXPECT_EQ(look(heir, policy.held, kKey, kNow), 120u);
    g_is_dead[1] = true;
    reclaim_dead(heir.journal(), kNow);
    ASSERT_TRUE(is_at_rest(next.zone()));
    EXPECT_EQ(flights_in(next.zone()), 0u);
    EXPECT_EQ(entries_of(next.zone(), policy.held), 0u);
    if (GetParam() != Algorithm::kSlidingWindow) {
        EXPECT_EQ(look(heir, policy.used, kKey, kNow), 120u);
    }
}

class MigrationAtEveryInstruction : public TokenMigration {
protected:
    void SetUp() override {
        TokenMigration::SetUp();
        if (const char* why = SingleStep::why_not()) {
            GTEST_SKIP() << why;
        }
    }
};

INSTANTIATE_TEST_SUITE_P(ATokenBucket, MigrationAtEveryInstruction,
                         testing::Values(Algorithm::kTokenBucket));

TEST_P(MigrationAtEveryInstruction, ReadsARecordThatIsBeingWrittenAsAWholeOrNotAtAll) {
    const ZonePolicy slots = add_policy(old.zone(), "slots", hourly(Algorithm::kConcurrency, 9));
    // The reservation below gets the record of this request, with its old contents.
    Request before(worker);
    ASSERT_TRUE(before.charge(slots, kKey).admit(kNow));
    end_flight(worker.access(), before[0].flight);
    Request request(worker);
    request.charge_tokens(policy, kKey, 700);
    Deaths moments(old, [&] { request.admit(kNow); });
    g_is_dead[1] = true;
    size_t seen = 0;
    for (size_t i = 0; i < moments.count(); ++i) {
        const ZoneMemory* then = moments.state(i);
        const ZoneMemory next({64, 64, 4});
        copy(*then, next);
        if (flights_in(next.zone()) == 0) {
            continue;
        }
        ++seen;
        for (uint32_t record = 0; record < 4 * kFlightsPerChunk; ++record) {
            const FlightRecord& flight = next.zone().flights(0)[record];
            ASSERT_TRUE(flight.tag == 0 ||
                        (flight.policy == policy.held.number && flight.amount == 700 &&
                         flight.used_policy == policy.used.number))
                << "moment " << i;
        }
    }
    EXPECT_GT(seen, 0u);
}

}  // namespace
}  // namespace ai_limit
