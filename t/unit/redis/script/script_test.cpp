#include "redis/script/script.h"

#include <gtest/gtest.h>
#include <openssl/sha.h>

#include <cstdio>
#include <string>
#include <vector>

#include "random.h"
#include "redis_script_tests.h"

namespace ai_limit {
namespace {

using namespace redis_script_tests;

TEST_F(RedisScript, HasItsSha1) {
    unsigned char digest[SHA_DIGEST_LENGTH];
    const std::string script(limit_script());
    SHA1(reinterpret_cast<const unsigned char*>(script.data()), script.size(), digest);
    std::string hex;
    for (const unsigned byte : digest) {
        char digits[3];
        std::snprintf(digits, sizeof(digits), "%02x", byte);
        hex += digits;
    }
    EXPECT_EQ(limit_script_sha1(), hex);
}

// Redis refuses a longer word of a client that has not yet given the password, and does not say
// why.
TEST_F(RedisScript, IsShorterThanWhatRedisReadsBeforeAPassword) {
    EXPECT_LT(limit_script().size(), size_t{16'384});
}

TEST_F(RedisScript, HasNoCommentsAndNoNamesOfConstants) {
    EXPECT_EQ(limit_script().find("--"), std::string_view::npos);
    EXPECT_EQ(limit_script().find("RESERVED"), std::string_view::npos);
}

TEST_F(RedisScript, ReturnsTheStateOfEachAlgorithm) {
    EXPECT_EQ(take({{&kBucket, "b", "", 2}}), (Numbers{1, kNow, 1, 0, 2, kNow, 0, 3'600'000}));
    const int64_t sub_window = kNow / 450'000;
    Numbers sliding = {1, kNow, 1, 0, kNow, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    sliding[static_cast<size_t>(5 + sub_window % 9)] = 2;
    EXPECT_EQ(take({{&kSliding, "s", "", 2}}), sliding);
    EXPECT_EQ(take({{&kFixed, "f", "", 2}}),
              (Numbers{1, kNow, 1, 0, 2, kHourStarts, kHourStarts + 3600}));
    EXPECT_EQ(take({{&kSlots, "c", "id"}}), (Numbers{1, kNow, 1, 0, 1}));
    EXPECT_EQ(take({{&kTokens, "t", "id:40", 40}}), (Numbers{1, kNow, 1, 40, 0, kNow, 0, 36'000}));
}

TEST_F(RedisScript, StoresMessagePackThatExpires) {
    take({{&kBucket, "b", "", 2}, {&kFixed, "f", "", 2}, {&kTokens, "t", "id:40", 40}});
    EXPECT_EQ(redis.get("b"), message_pack({1, 0, 2, kNow, 0, 3'600'000}));
    EXPECT_EQ(redis.get("f"), message_pack({3, 0, 2, kHourStarts, kHourStarts + 3600}));
    EXPECT_EQ(redis.get("t"), message_pack({1, 40, 0, kNow, 0, 36'000}));
    EXPECT_NEAR(static_cast<double>(redis.time_to_live("b")), 2 * kHour, 2);
    EXPECT_EQ(redis.time_to_live("f"), kHour);
    EXPECT_EQ(redis.time_to_live("t"), 2 * kLease);
    EXPECT_EQ(redis.time_to_live(flights_of("t")), 2 * kLease);
}

TEST_F(RedisScript, CallsRedisAsLittleAsPossible) {
    const auto commands = [&](const std::vector<RedisCharge>& charges) {
        const uint64_t before = redis.commands();
        take(charges);
        return redis.commands() - before;
    };
    EXPECT_EQ(commands({{&kBucket, "b", "", 5}}), 3U);
    EXPECT_EQ(commands({{&kBucket, "b", "", 5}}), 2U);  // refused
    EXPECT_EQ(commands({{&kFixed, "f", "", 1}, {&kSliding, "s", "", 1}, {&kBucket, "x", "", 1}}),
              7U);
    EXPECT_EQ(commands({{&kSlots, "c", "id"}}), 5U);
    EXPECT_EQ(commands({{&kTokens, "t", "a:1", 1}}), 6U);
    EXPECT_EQ(commands({{&kTokens, "t", "b:1", 1}}), 6U);
}

TEST_F(RedisScript, ChargesAllOrNone) {
    EXPECT_TRUE(passes({{&kBucket, "b", "", 4}}));
    const Numbers reply =
        take({{&kFixed, "f", "", 1}, {&kBucket, "b", "", 2}, {&kSlots, "c", "x"}});
    EXPECT_EQ(reply[0], 0);
    EXPECT_EQ(reply[2], 1);  // would have fitted
    EXPECT_EQ(reply[7], 0);
    EXPECT_EQ(reply.back(), 0);
    EXPECT_FALSE(redis.exists("f"));
    EXPECT_FALSE(redis.exists(flights_of("c")));
    EXPECT_TRUE(passes({{&kBucket, "b", "", 1}}));
}

TEST_F(RedisScript, SkipsADryRunThatDoesNotFit) {
    EXPECT_TRUE(passes({{&kBucket, "b", "", 6, true}, {&kFixed, "f", "", 1}}));
    EXPECT_FALSE(redis.exists("b"));
    EXPECT_TRUE(redis.exists("f"));
    EXPECT_TRUE(passes({{&kBucket, "b", "", 5, true}, {&kFixed, "f", "", 1}}));
    EXPECT_TRUE(redis.exists("b"));
}

TEST_F(RedisScript, WritesNothingForACostOfZero) {
    EXPECT_TRUE(passes({{&kBucket, "b", "", 0}, {&kFixed, "f", "", 0}, {&kSliding, "s", "", 0}}));
    EXPECT_TRUE(redis.keys().empty());
}

TEST_F(RedisScript, KeepsAReservationUntilItIsSettled) {
    EXPECT_EQ(ask_tokens("a", 60), (Numbers{1, 60, 0}));
    EXPECT_EQ(ask_tokens("b", 60), (Numbers{0, 60, 0}));
    settle_tokens("a", 60, 30);
    EXPECT_EQ(ask_tokens("c", 60), (Numbers{1, 60, 30}));
    settle_tokens("c", 60, 1000);  // into debt
    EXPECT_EQ(ask_tokens("d", 0), (Numbers{0, 0, 1030}));
}

TEST_F(RedisScript, GrowsAReservationOnce) {
    ask_tokens("a", 60);
    EXPECT_EQ(grow_tokens("a", 60, 30), (Numbers{1, 1, 90}));
    EXPECT_EQ(grow_tokens("a", 60, 30), (Numbers{1, 1, 90})) << "the same call again";
    EXPECT_EQ(grow_tokens("a", 90, 11), (Numbers{1, 0, 90})) << "there is no room";
    EXPECT_EQ(grow_tokens("a", 90, 10), (Numbers{1, 1, 100}));
    EXPECT_EQ(grow_tokens("b", 10, 1), (Numbers{0, 0, 100})) << "it is not in flight";
    settle_tokens("a", 100, 70);
    EXPECT_EQ(ask_tokens("c", 0), (Numbers{1, 0, 70}));
}

TEST_F(RedisScript, SettlesAReservationOfTwoNamesOnce) {
    for (const bool grows : {false, true}) {
        redis.remove_all();
        ask_tokens("a", 60);
        if (grows) {
            grow_tokens("a", 60, 30);
        }
        for (int i = 0; i < 2; ++i) {
            run(settle_call({{&kTokens, "k", "a:60", 60, 70}, {&kTokens, "k", "a:90", 90, 70}},
                            wall));
        }
        EXPECT_EQ(ask_tokens("c", 0), (Numbers{1, 0, 70}));
        EXPECT_EQ(grow_tokens("a", 60, 10), (Numbers{0, 0, 0})) << "it came too late";
        EXPECT_EQ(ask_tokens("c", 0), (Numbers{1, 0, 70}));
    }
}

TEST_F(RedisScript, RenewsAReservationThatIsToGrow) {
    ask_tokens("a", 60);
    ask_tokens("b", 30);
    redis.set_clock(kNow + kLease - 1);
    EXPECT_EQ(grow_tokens("a", 60, 30), (Numbers{1, 0, 90}));
    EXPECT_EQ(grow_tokens("b", 30, 10), (Numbers{1, 1, 100}));
    redis.set_clock(kNow + 2 * kLease - 2);
    EXPECT_EQ(ask_tokens("c", 0), (Numbers{0, 100, 0}));
    EXPECT_EQ(grow_tokens("b", 40, 0), (Numbers{1, 1, 100}));
    redis.set_clock(kNow + 2 * kLease - 1);
    EXPECT_EQ(grow_tokens("a", 60, 30), (Numbers{0, 0, 40})) << "its lease was over";
    EXPECT_EQ(ask_tokens("c", 0), (Numbers{0, 40, 60}));
}

TEST_F(RedisScript, SettlesOnce) {
    ask_tokens("a", 60);
    ask_tokens("b", 20);
    settle_tokens("a", 60, 10);
    settle_tokens("a", 60, 10);
    EXPECT_EQ(ask_tokens("c", 0), (Numbers{1, 20, 10}));
    settle_tokens("c", 0, 5);
    settle_tokens("c", 0, 5);
    EXPECT_EQ(ask_tokens("d", 0), (Numbers{1, 20, 15}));
}

TEST_F(RedisScript, CountsReservationsWhoseLeaseIsOverAsUsed) {
    ask_tokens("a", 60);
    redis.set_clock(kNow + kLease - 1);
    EXPECT_EQ(ask_tokens("b", 60), (Numbers{0, 60, 0}));
    redis.set_clock(kNow + kLease);
    EXPECT_EQ(ask_tokens("b", 60), (Numbers{0, 0, 60}));  // kept, though refused
    settle_tokens("a", 60, 1);
    EXPECT_EQ(ask_tokens("b", 60), (Numbers{0, 0, 60}));
    EXPECT_EQ(ask_tokens("c", 40), (Numbers{1, 40, 60}));
}

TEST_F(RedisScript, CountsReservationsThatNobodyOwnsAsUsed) {
    ask_tokens("a", 60);
    redis.remove(flights_of("k"));
    EXPECT_EQ(ask_tokens("b", 60), (Numbers{0, 0, 60}));
}

TEST_F(RedisScript, KnowsReservationsAfterTheStateIsLost) {
    ask_tokens("a", 60);
    redis.remove("k");
    EXPECT_EQ(ask_tokens("b", 60), (Numbers{0, 60, 0}));
    EXPECT_EQ(ask_tokens("c", 40), (Numbers{1, 100, 0}));
    redis.remove("k");
    settle_tokens("a", 60, 10);
    EXPECT_EQ(ask_tokens("d", 60), (Numbers{0, 40, 10}));
}

TEST_F(RedisScript, RenewsTheLeasesOfRequestsInFlight) {
    ask_tokens("a", 60);
    EXPECT_TRUE(passes({{&kSlots, "slots", "x"}}));
    redis.set_clock(kNow + kLease - 1);
    renew(kTokens, {"a:60", "gone:40"});
    redis.set_clock(kNow + 2 * kLease - 2);
    EXPECT_EQ(ask_tokens("b", 60), (Numbers{0, 60, 0}));
    redis.set_clock(kNow + 2 * kLease - 1);
    EXPECT_EQ(ask_tokens("b", 60), (Numbers{0, 0, 60}));
}

TEST_F(RedisScript, RenewsLeasesOfAllNodesAfterRedisLostItsData) {
    ask_tokens("a", 60);
    ask_tokens("b", 30);
    redis.remove_all();
    renew(kTokens, {"a:60"});
    renew(kTokens, {"b:30"});
    EXPECT_EQ(ask_tokens("c", 20), (Numbers{0, 90, 0}));
    settle_tokens("a", 60, 50);
    EXPECT_EQ(ask_tokens("d", 20), (Numbers{1, 50, 50}));
}

TEST_F(RedisScript, RestoresTheStateWhenTheLastRequestEndsAndTheStateIsLost) {
    const auto settle = [&](const std::string& id, Amount used) {
        const std::string seed = message_pack({1, 0, used, kNow, 0, kTokens.refill_millis});
        run(settle_call({{&kTokens, "k", id + ":30", 30, 10, seed}}, wall));
    };
    ask_tokens("a", 30);
    settle("a", 70);  // of no use: Redis knows better
    EXPECT_EQ(ask_tokens("b", 30), (Numbers{1, 30, 10}));
    redis.remove_all();
    settle("b", 70);
    EXPECT_FALSE(redis.exists("k"));  // it may have landed before
    renew(kTokens, {"b:30"});
    settle("b", 70);
    settle("b", 70);
    EXPECT_EQ(ask_tokens("c", 30), (Numbers{1, 30, 70}));
    redis.remove_all();
    renew(kTokens, {"c:30"});
    renew(kTokens, {"d:30"});
    settle("c", 70);  // of which some may be what the other one will tell
    settle("d", 70);
    EXPECT_EQ(ask_tokens("e", 30), (Numbers{1, 30, 20}));
    redis.remove_all();
    renew(kTokens, {"e:30"});
    settle("e", 7);  // less than what it charges
    EXPECT_EQ(ask_tokens("f", 30), (Numbers{1, 30, 10}));
}

TEST_F(RedisScript, LooksAtAKeyWithoutChangingIt) {
    const auto look = [&](const Limit& limit, const std::string& key,
                          const std::string& seed = "") {
        return run(look_call("look", limit, key, seed, wall));
    };
    EXPECT_EQ(look(kFixed, "f"), (Numbers{kNow, 0, 0, 0, kHourStarts, kHourStarts + 3600}));
    EXPECT_FALSE(redis.exists("f"));
    take({{&kFixed, "f", "", 2}, {&kTokens, "t", "a:40", 40}, {&kSlots, "c", "a"}});
    const std::string before = redis.get("f");
    EXPECT_EQ(look(kFixed, "f"), (Numbers{kNow, 1, 0, 2, kHourStarts, kHourStarts + 3600}));
    EXPECT_EQ(redis.get("f"), before);
    EXPECT_EQ(look(kTokens, "t"), (Numbers{kNow, 0, 40, 0, kNow, 0, 36'000}));
    EXPECT_EQ(look(kSlots, "c"), (Numbers{kNow, 1, 0, 1}));
    redis.remove_all();
    // The node's own knowledge counts if Redis has lost the key.
    EXPECT_EQ(look(kBucket, "b", message_pack({1, 0, 3, kNow, 0, 3'600'000})).at(3), 3);
    EXPECT_FALSE(redis.exists("b"));
}

TEST_F(RedisScript, ForgetsAKeyOnAllNodes) {
    const std::string seed = message_pack({1, 0, 5, kNow, 0, 3'600'000});
    const auto forget = [&] { return run(look_call("forget", kBucket, "b", "", wall)).at(1); };
    EXPECT_EQ(forget(), 0);
    EXPECT_FALSE(redis.exists("b"));
    take({{&kBucket, "b", "", 5}});
    EXPECT_FALSE(passes({{&kBucket, "b", "", 1}}));
    EXPECT_EQ(forget(), 1);
    EXPECT_TRUE(passes({{&kBucket, "b", "", 2, false, seed}}));
    EXPECT_EQ(take({{&kBucket, "b", "", 0}}).at(4), 2);
    // The script does not believe a report of before, even if the state has gone since.
    run(tell_call("other", {{&kBucket, "b", 1, 5, 5, seed}}, wall));
    EXPECT_EQ(take({{&kBucket, "b", "", 0}}).at(4), 2);
    redis.remove("b");
    EXPECT_EQ(take({{&kBucket, "b", "", 1, false, seed}}).at(4), 1);
    // This lasts until all of it would have come back; then a Redis that has lost its data is told
    // again.
    redis.set_clock(wall = kNow + 6 * kHour);
    redis.remove("b");
    const std::string later = message_pack({1, 0, 5, kNow + 6 * kHour, 0, 3'600'000});
    EXPECT_FALSE(passes({{&kBucket, "b", "", 1, false, later}}));
}

TEST_F(RedisScript, ForgetsUsedTokensButKeepsReservations) {
    ask_tokens("a", 30);
    settle_tokens("a", 30, 60);
    ask_tokens("b", 20);
    run(look_call("forget", kTokens, "k", "", wall));
    EXPECT_EQ(ask_tokens("c", 10), (Numbers{1, 30, 0}));
    settle_tokens("b", 20, 25);
    EXPECT_EQ(ask_tokens("d", 10), (Numbers{1, 20, 25}));
}

TEST_F(RedisScript, CountsRequestsInFlight) {
    const auto count = [&](const std::string& id) { return take({{&kSlots, "k", id}}); };
    EXPECT_EQ(count("a"), (Numbers{1, kNow, 1, 0, 1}));
    EXPECT_EQ(count("b"), (Numbers{1, kNow, 1, 0, 2}));
    EXPECT_EQ(count("c"), (Numbers{0, kNow, 0, 0, 2}));
    const RedisCall lands = settle_call({{&kSlots, "k", "a", 0, 0}}, wall);
    run(lands);
    run(lands);
    EXPECT_EQ(count("d"), (Numbers{1, kNow, 1, 0, 2}));
    redis.set_clock(kNow + kLease);
    EXPECT_EQ(count("e"), (Numbers{1, kNow + kLease, 1, 0, 1}));
    renew(kSlots, {"b", "d"});  // late, but they still run
    EXPECT_EQ(count("f").back(), 3);
    redis.remove_all();
    renew(kSlots, {"e"});
    renew(kSlots, {"f"});
    EXPECT_EQ(count("g").back(), 2);
}

TEST_F(RedisScript, RefundsNoMoreThanWasUsed) {
    for (const Limit* limit : {&kBucket, &kSliding, &kFixed}) {
        redis.remove_all();
        EXPECT_TRUE(passes({{limit, "k", "", 3}}));
        run(settle_call({{limit, "k", "", 0, -2}}, wall));
        EXPECT_FALSE(passes({{limit, "k", "", 5}}));
        EXPECT_TRUE(passes({{limit, "k", "", 4}}));
        run(settle_call({{limit, "k", "", 0, -9}}, wall));
        EXPECT_FALSE(redis.exists("k"));
        run(settle_call({{limit, "k", "", 0, -9}}, wall));
        EXPECT_FALSE(redis.exists("k"));
    }
}

TEST_F(RedisScript, KeepsNoFractionOfAFullBucket) {
    EXPECT_TRUE(passes({{&kTokens, "k", "", 2}}));
    ask_tokens("a", 50);
    redis.set_clock(kNow + 1);
    run(settle_call({{&kTokens, "k", "", 0, -2}}, wall));
    redis.set_clock(kNow + 2);
    EXPECT_EQ(take({{&kTokens, "k", "", 1}}),
              (Numbers{1, kNow + 2, 1, 50, 1, kNow + 2, 0, 36'000}));
}

/** Before, a sliding window was kept with the number of its newest sub-window. */
TEST_F(RedisScript, ReadsASlidingWindowOfAnOlderVersion) {
    const int64_t number = kNow / 450'000;
    std::vector<uint64_t> numbers = {2, 0, 450'000, static_cast<uint64_t>(number), 0, 0, 0, 0, 0, 0,
                                     0, 0, 0};
    numbers[static_cast<size_t>(4 + number % 9)] = 4;
    redis.put("k", message_pack(numbers));
    EXPECT_FALSE(passes({{&kSliding, "k", "", 2}}));
    redis.set_clock(kNow + kHour);
    EXPECT_FALSE(passes({{&kSliding, "k", "", 2}}));  // it may have been used until now
    redis.set_clock(kNow + kHour + 450'000 - 2);
    EXPECT_FALSE(passes({{&kSliding, "k", "", 2}}));
    redis.set_clock(kNow + kHour + 450'000 - 1);
    EXPECT_TRUE(passes({{&kSliding, "k", "", 5}}));
}

TEST_F(RedisScript, IgnoresASlidingWindowOfNoLength) {
    for (const uint64_t number : {2, 4}) {
        redis.put("k", message_pack({number, 0, 0, 5, 9, 9, 9, 9, 9, 9, 9, 9, 9}));
        EXPECT_TRUE(passes({{&kSliding, "k", "", 5}}));
        EXPECT_EQ(redis.error(), "");
        redis.remove_all();
    }
}

TEST_F(RedisScript, RefundsTheNewestPartOfASlidingWindow) {
    EXPECT_TRUE(passes({{&kSliding, "k", "", 3}}));
    redis.set_clock(kNow + kHour / 2);
    EXPECT_TRUE(passes({{&kSliding, "k", "", 2}}));
    run(settle_call({{&kSliding, "k", "", 0, -3}}, wall));
    redis.set_clock(kNow + kHour + kHour / 8 - 1);
    EXPECT_FALSE(passes({{&kSliding, "k", "", 4}}));
    redis.set_clock(kNow + kHour + kHour / 8);
    EXPECT_TRUE(passes({{&kSliding, "k", "", 5}}));
}

TEST_F(RedisScript, ChoosesAFixedWindowByItsOwnClock) {
    // The clock of Redis is from hours behind the asking node to hours ahead of it.
    for (int hours = -5; hours <= 5; ++hours) {
        for (const Millis within : {Millis{0}, Millis{1}, kHour / 2, kHour - 1}) {
            redis.remove_all();
            const Millis now = kNow + hours * kHour + within;
            redis.set_clock(now);
            const int64_t starts = kHourStarts + hours * 3600;
            EXPECT_EQ(take({{&kFixed, "k", ""}}),
                      (Numbers{1, now, 1, 0, 1, starts, starts + 3600}));
            EXPECT_EQ(redis.time_to_live("k"), kHour - within);
        }
    }
}

TEST_F(RedisScript, EndsAWindowForAllNodesAtOnce) {
    EXPECT_TRUE(passes({{&kFixed, "k", "", 5}}));
    redis.set_clock(kNow + kHour - 1);
    wall = kNow + kHour + 500;  // this node is ahead
    EXPECT_FALSE(passes({{&kFixed, "k", "", 1}}));
    redis.set_clock(kNow + kHour);
    wall = kNow + kHour - 500;  // that one is behind
    EXPECT_TRUE(passes({{&kFixed, "k", "", 5}}));
    redis.set_clock(kNow + kHour - 1);  // Redis's clock steps back: the window goes on
    EXPECT_FALSE(passes({{&kFixed, "k", "", 1}}));
}

TEST_F(RedisScript, StartsWithWhatTheNodeKnows) {
    const std::string seed = message_pack({1, 0, 4, kNow - kHour, 0, 3'600'000});
    EXPECT_FALSE(passes({{&kBucket, "k", "", 3, false, seed}}));
    EXPECT_FALSE(passes({{&kBucket, "k", "", 3}}));  // kept, for nodes that do not know
    EXPECT_TRUE(passes({{&kBucket, "k", "", 2}}));
    EXPECT_FALSE(passes({{&kBucket, "k", "", 1, false, seed}}));  // Redis knows better
    redis.remove_all();
    EXPECT_TRUE(passes({{&kBucket, "k", "", 5, false, "garbage"}}));
}

TEST_F(RedisScript, KeepsKeysWhoseExpiryIsBeyondRedis) {
    const Limit slow = limit(Algorithm::kTokenBucket, "1r/366d", kMaxAmount);
    EXPECT_TRUE(passes({{&slow, "k", "", kMaxAmount}}));
    redis.set_clock(kNow + Millis{365} * 24 * kHour);
    EXPECT_FALSE(passes({{&slow, "k", "", 1}}));
    redis.set_clock(kNow + Millis{366} * 24 * kHour);
    EXPECT_TRUE(passes({{&slow, "k", "", 1}}));
}

TEST_F(RedisScript, AnswersAProbe) {
    RedisCall probe("probe");
    probe.keys = {"k"};
    EXPECT_EQ(run(probe), Numbers{kNow});
    EXPECT_EQ(redis.time_to_live("k"), 1000);
}

}  // namespace
}  // namespace ai_limit
