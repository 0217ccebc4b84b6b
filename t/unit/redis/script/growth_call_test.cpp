// The calls by which a reservation in Redis grows and is settled, from the module to the script and
// back.

#include <gtest/gtest.h>

#include <vector>

#include "redis/script/script.h"
#include "redis/script/script_call.h"
#include "redis_model/redis_wire.h"
#include "zone_memory.h"

namespace ai_limit {
namespace {

constexpr Now kNow{1'000'000'000, 1'795'575'600'000};

class RedisGrowthCall : public testing::TestWithParam<Algorithm> {
protected:
    RedisGrowthCall() {
        redis.set_clock(kNow.wall);
        flight.key = "k";
        flight.member = {1, 2};
        flight.reserved = 60;
        flight.limit = policy.limit;
        Command command;
        PolicyCharge charge{};
        begin_charge(&charge, {&policy.limit, user.access(), 60, policy.number, false}, 7);
        const RedisCharge asked = {&charge, flight.key, flight.member, {}, 0};
        write_take(&asked, 1, kNow, &command);
        run(command);
    }

    std::vector<int64_t> run(const Command& command) {
        return run_script(&redis, script_call_of(command));
    }

    /** Asks for the growth of the flight. */
    RedisGrowth grow(Amount more) {
        flight.growth = more;
        Command command;
        write_grow(flight, memory.zone(), kNow, &command);
        RedisGrowth growth{};
        WireReader wire;
        EXPECT_TRUE(
            read_grow(wire.reply_of(run(command)), flight, memory.zone(), policy.number, &growth));
        return growth;
    }

    void settle(Amount tokens) {
        Command command;
        write_settle(flight, tokens, {}, memory.zone(), kNow, &command);
        run(command);
    }

    RedisLook look() {
        const RedisKey asked = {&policy.limit, &zone, policy.number, "k", {}};
        Command command;
        write_look(asked, false, kNow, &command);
        RedisLook look{};
        WireReader wire;
        EXPECT_TRUE(read_look(wire.reply_of(run(command)), asked, &look));
        return look;
    }

    void expect_settled(Amount tokens) {
        const RedisLook now = look();
        EXPECT_EQ(now.reserved, 0u);
        EXPECT_EQ(used(policy.limit, now.state), tokens);
        EXPECT_FALSE(redis.exists("k:flights"));
    }

    ZoneMemory memory{{64, 64, 16}};
    Zone zone = memory.zone();
    ZoneUser user{zone, &kAllAlive, 1};
    ZonePolicy policy = add_policy(zone, "tokens", limit_of_rate(GetParam(), "100t/h"));
    RedisModel redis{limit_script()};
    RedisFlight flight{};
};

INSTANTIATE_TEST_SUITE_P(EachAlgorithm, RedisGrowthCall, testing::ValuesIn(kRates),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(RedisGrowthCall, SaysWhatHasGrownAndWhatIsLeft) {
    RedisGrowth growth = grow(30);
    EXPECT_TRUE(growth.is_known && growth.grows);
    EXPECT_EQ(growth.left, 10u);
    EXPECT_EQ(growth.redis_now, kNow.wall);
    EXPECT_EQ(look().reserved, 90u);
    flight.reserved = 90;
    growth = grow(11);
    EXPECT_TRUE(growth.is_known && !growth.grows);
    EXPECT_EQ(growth.left, 10u);
    growth = grow(10);
    EXPECT_TRUE(growth.grows);
    EXPECT_EQ(growth.left, 0u);
}

TEST_P(RedisGrowthCall, SettlesOnceIfTheAnswerWasLost) {
    grow(30);
    settle(75);  // the flight still has its former amount, and what was asked for
    expect_settled(75);
    settle(75);
    expect_settled(75);
}

TEST_P(RedisGrowthCall, SettlesOnceIfTheQuestionWasLost) {
    flight.growth = 30;
    settle(75);
    expect_settled(75);
    EXPECT_FALSE(grow(30).is_known) << "a question that comes too late";
    expect_settled(75);
}

TEST_P(RedisGrowthCall, RefusesAnAnswerThatIsNone) {
    WireReader wire;
    RedisGrowth growth{};
    for (const std::vector<int64_t>& answer :
         {std::vector<int64_t>{}, {1, kNow.wall}, {2, kNow.wall, 1, 90, 0, kNow.wall, 0, 36'000}}) {
        EXPECT_FALSE(read_grow(wire.reply_of(answer), flight, zone, policy.number, &growth));
    }
}

}  // namespace
}  // namespace ai_limit
