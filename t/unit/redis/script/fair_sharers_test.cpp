// What sharers of a key get in Redis, over all nodes.

#include "fair_script_tests.h"
#include "random.h"

namespace ai_limit {
namespace {

using namespace fair_script_tests;

class FairSharers : public testing::Test {
protected:
    bool passes(const ZonePolicy& policy, const std::string& sharer, uint32_t weight = 1) {
        return FairRequest(&redis).charge(policy, "k").of(sharer, weight).passes();
    }

    FairRedis redis;
    const ZonePolicy bucket = redis.add(limit_of_rate(Algorithm::kTokenBucket, "60r/m"));
    const ZonePolicy slots = redis.add(concurrency_limit(4));
    const ZonePolicy tokens = redis.add(limit_of_rate(Algorithm::kTokenBucket, "1000t/h"));
};

TEST_F(FairSharers, GreedySharerLeavesTheOthersWhatTheyAskFor) {
    int modest = 0;
    int greedy = 0;
    // The modest one asks for 20 a minute, the greedy one for 600: through whichever node.
    for (int i = 0; i < 1500; ++i) {
        redis.pass(100);
        greedy += passes(bucket, "greedy") ? 1 : 0;
        if (i % 30 == 0) {
            modest += passes(bucket, "modest") ? 1 : 0;
        }
    }
    EXPECT_GE(modest, 48);
    EXPECT_GE(modest + greedy, 190);
}

TEST_F(FairSharers, SharerWithThreeTimesTheWeightGetsThreeTimesAsMuch) {
    const ZonePolicy fixed = redis.add(limit_of_rate(Algorithm::kFixedWindow, "60r/m"));
    for (const ZonePolicy* policy : {&bucket, &fixed}) {
        int light = 0;
        int heavy = 0;
        for (int i = 0; i < 1200; ++i) {
            redis.pass(200);
            light += passes(*policy, "light", 1) ? 1 : 0;
            heavy += passes(*policy, "heavy", 3) ? 1 : 0;
        }
        EXPECT_NEAR(double(heavy) / light, 3, 0.4);
        EXPECT_GE(light + heavy, 220);
        redis.model.remove_all();
    }
}

TEST_F(FairSharers, LoneSharerGetsTheWholeLimit) {
    for (int i = 0; i < 60; ++i) {
        EXPECT_TRUE(passes(bucket, "lone")) << i;
    }
    EXPECT_FALSE(passes(bucket, "lone"));
}

TEST_F(FairSharers, RefusedRequestIsNotedAndClaimsItsPart) {
    for (int i = 0; i < 60; ++i) {
        ASSERT_TRUE(passes(bucket, "greedy"));
    }
    ASSERT_FALSE(passes(bucket, "modest"));
    redis.pass(2000);  // two come back
    FairRequest greedy(&redis);
    EXPECT_TRUE(greedy.charge(bucket, "k").of("greedy").passes());
    EXPECT_EQ(greedy.part().weights, 2U);
    EXPECT_EQ(greedy.part().claimed, 1U);
    EXPECT_FALSE(passes(bucket, "greedy"));
    EXPECT_TRUE(passes(bucket, "modest"));
}

TEST_F(FairSharers, SlotsAreSharedUntilTheyAreGivenBack) {
    FairRequest first(&redis);
    ASSERT_TRUE(first.charge(slots, "k").of("greedy").passes());
    ASSERT_TRUE(passes(slots, "modest"));
    ASSERT_TRUE(passes(slots, "greedy"));
    // The modest one needs one slot and has it, so the greedy one may borrow the fourth.
    FairRequest fourth(&redis);
    ASSERT_TRUE(fourth.charge(slots, "k").of("greedy").passes());
    EXPECT_FALSE(fourth.part().is_own);
    EXPECT_FALSE(passes(slots, "modest"));
    fourth.end(0, 0);
    fourth.settle(0, 0);
    EXPECT_FALSE(passes(slots, "greedy"));
    EXPECT_TRUE(passes(slots, "modest"));
}

TEST_F(FairSharers, SlotComesBackWhenItsLeaseIsOver) {
    FairRequest request(&redis);
    ASSERT_TRUE(request.charge(slots, "k").of("one").passes());
    Command command;
    redis.pass(kLease - 1);
    write_renew_sharer(request.sharer().key, request.sharer().member, &command);
    redis.run(command);
    redis.pass(kLease - 1);
    const auto left = [&] {
        FairRequest asked(&redis);
        asked.charge(slots, "k", 0).of("one").passes();
        asked.end(0, 0);
        return asked.part().left;
    };
    EXPECT_EQ(left(), 3U);
    redis.pass(1);
    EXPECT_EQ(left(), 4U);
}

TEST_F(FairSharers, PartIsCorrectedOnceByWhatARequestHasUsed) {
    ASSERT_TRUE(FairRequest(&redis).charge(tokens, "k", 100).of("other").passes());
    FairRequest request(&redis);
    ASSERT_TRUE(request.charge(tokens, "k", 300).of("one").passes());
    EXPECT_TRUE(request.part().is_own);
    EXPECT_EQ(request.part().left, 500U);
    const auto left = [&] {
        FairRequest asked(&redis);
        asked.charge(tokens, "k", 0).of("one").passes();
        asked.end(0, 0);
        asked.settle(0, 0);
        return asked.part().left;
    };
    EXPECT_EQ(left(), 200U);
    request.settle(0, 50);
    request.end(0, 50);
    EXPECT_EQ(left(), 450U);
    request.end(0, 50);
    EXPECT_EQ(left(), 450U);
}

TEST_F(FairSharers, ReservationGrowsWithinThePartOfItsSharer) {
    ASSERT_TRUE(FairRequest(&redis).charge(tokens, "k", 300).of("other").passes());
    FairRequest request(&redis);
    ASSERT_TRUE(request.charge(tokens, "k", 100).of("one").passes());
    // 600 are left, of which 400 are this one's. The other needs no more than it has asked for.
    const RedisGrowth beyond = request.grow(0, 500);
    EXPECT_TRUE(beyond.is_known);
    EXPECT_FALSE(beyond.grows);
    EXPECT_EQ(beyond.left, 400U);
    EXPECT_TRUE(request.grow(0, 400).grows);
    EXPECT_FALSE(request.grow(0, 1).grows);
    request.settle(0, 50);
    request.end(0, 50);
    EXPECT_FALSE(request.grow(0, 1).is_known);
    FairRequest asked(&redis);
    asked.charge(tokens, "k", 1).of("one").passes();
    EXPECT_EQ(asked.part().left, 450U);
    EXPECT_EQ(asked.used(0) + asked.reserved(0), 351U);
}

TEST_F(FairSharers, SameGrowthAgainChangesNothing) {
    FairRequest request(&redis);
    ASSERT_TRUE(request.charge(tokens, "k", 100).of("one").passes());
    Command command;
    const RedisSharerFlight sharer = {request.sharer().key, request.sharer().member, tokens.limit,
                                      true, 100};
    const RedisFlight flight = {"k", sharer.member, 100, tokens.limit, 50};
    write_grow(flight, redis.zone(), redis.now, &command, &sharer);
    for (int i = 0; i < 3; ++i) {
        RedisGrowth growth{};
        ASSERT_TRUE(
            read_grow(redis.run(command), flight, redis.zone(), tokens.number, &growth, true));
        EXPECT_TRUE(growth.grows);
    }
    FairRequest asked(&redis);
    asked.charge(tokens, "k", 1).of("one").passes();
    EXPECT_EQ(asked.part().left, 850U);
    EXPECT_EQ(asked.reserved(0), 151U);
}

TEST_F(FairSharers, RequestMayEndBeforeItsGrowthIsAnswered) {
    for (const bool arrives : {true, false}) {
        redis.model.remove_all();
        FairRequest request(&redis);
        ASSERT_TRUE(request.charge(tokens, "k", 100).of("one").passes());
        Command command;
        RedisSharerFlight sharer = {request.sharer().key, request.sharer().member, tokens.limit,
                                    true, 100};
        sharer.growth = 50;
        if (arrives) {
            const RedisFlight flight = {"k", sharer.member, 100, tokens.limit, 50};
            write_grow(flight, redis.zone(), redis.now, &command, &sharer);
            redis.run(command);
        }
        for (int i = 0; i < 2; ++i) {
            write_end_sharer(sharer, 30, redis.zone(), redis.now, &command);
            redis.run(command);
        }
        FairRequest asked(&redis);
        asked.charge(tokens, "k", 1).of("one").passes();
        EXPECT_EQ(asked.part().left, 970U) << arrives;
    }
}

TEST_F(FairSharers, ChargeThatIsGivenBackLeavesThePartWhole) {
    ASSERT_TRUE(passes(bucket, "other"));
    FairRequest request(&redis);
    ASSERT_TRUE(request.charge(bucket, "k").of("one").passes());
    EXPECT_EQ(request.part().left, 30U);
    request.give_back(0);
    FairRequest again(&redis);
    ASSERT_TRUE(again.charge(bucket, "k").of("one").passes());
    EXPECT_EQ(again.part().left, 30U);
}

TEST_F(FairSharers, WindowsCountWhatTheirSharersAskedForInTheOneBefore) {
    for (Algorithm algorithm : {Algorithm::kFixedWindow, Algorithm::kSlidingWindow}) {
        redis.model.remove_all();
        const ZonePolicy window = redis.add(limit_of_rate(algorithm, "100r/m"));
        // Until it is known what another one needs, it claims its whole part.
        ASSERT_TRUE(passes(window, "modest"));
        int greedy = 0;
        for (int i = 0; i < 100; ++i) {
            greedy += passes(window, "greedy") ? 1 : 0;
        }
        EXPECT_EQ(greedy, 50);
        redis.pass(60'000);
        ASSERT_TRUE(passes(window, "modest"));
        FairRequest asked(&redis);
        asked.charge(window, "k").of("greedy").passes();
        EXPECT_LE(asked.part().claimed, 2U);
        EXPECT_EQ(asked.part().weights, 2U);
        redis.pass(60'000);
    }
}

TEST_F(FairSharers, SharerThatAsksNoMoreIsForgottenAfterAMinute) {
    ASSERT_TRUE(passes(bucket, "one"));
    ASSERT_TRUE(passes(bucket, "other"));
    redis.pass(80'000);
    FairRequest asked(&redis);
    ASSERT_TRUE(asked.charge(bucket, "k").of("one").passes());
    EXPECT_EQ(asked.part().weights, 1U);
    EXPECT_EQ(asked.part().claimed, 0U);
}

TEST_F(FairSharers, DryRunRefusesNobody) {
    for (int i = 0; i < 60; ++i) {
        ASSERT_TRUE(passes(bucket, "greedy"));
    }
    FairRequest request(&redis);
    EXPECT_TRUE(request.charge(bucket, "k", 1, true).of("greedy").at(1).passes());
    EXPECT_EQ(request.verdict(0), Verdict::kRefused);
}

TEST_F(FairSharers, AllChargesOfARequestAreTakenOrNone) {
    const ZonePolicy other = redis.add(limit_of_rate(Algorithm::kTokenBucket, "1r/m"));
    const auto both = [&] {
        FairRequest request(&redis);
        const bool passes =
            request.charge(bucket, "k").of("one").charge(other, "o").charge(slots, "s").passes();
        EXPECT_EQ(request.used(2), 1U);
        return passes;
    };
    EXPECT_TRUE(both());
    EXPECT_FALSE(both());
    FairRequest asked(&redis);
    asked.charge(bucket, "k", 1).of("one").passes();
    EXPECT_EQ(asked.used(0), 2U);
    EXPECT_EQ(asked.part().left, 59U);
}

TEST_F(FairSharers, ScriptIsShort) {
    // Redis takes no longer word from a client that has not logged in.
    EXPECT_LT(fair_script().size(), size_t{16'384});
    EXPECT_EQ(fair_script().find("--"), std::string_view::npos);
    EXPECT_NE(fair_script_sha1(), limit_script_sha1());
    EXPECT_EQ(script_with_sha1(fair_script_sha1()), fair_script());
}

TEST_F(FairSharers, WhatIsNoStateOfASharerIsNotBelieved) {
    std::vector<std::string> garbage = {"",
                                        "x",
                                        "\xa1"
                                        "b",
                                        "\xa4sums",
                                        "\xa5turns",
                                        "\xc1",
                                        "\xdc\xff\xff\x01"};
    Random random(1);
    for (int i = 0; i < 500; ++i) {
        // As long as a state of a sharer, or as the sums or the turns may be.
        std::string value = random.one_in(2)   ? "\xa1"
                                                 "b"
                            : random.one_in(2) ? "\xa4sums"
                                               : "\xa5turns";
        for (uint64_t n = random.one_in(2) ? 11 : random.below(20); n > 0; --n) {
            value +=
                static_cast<char>(random.one_in(3) ? 0xc0 + random.below(64) : random.below(128));
        }
        garbage.push_back(value);
    }
    for (const std::string& value : garbage) {
        redis.model.remove_all();
        redis.model.put(sharer_key("k", "one"), value);
        redis.model.put("k:sharers", value);
        redis.model.put("k:turns", value);
        FairRequest request(&redis);
        request.charge(bucket, "k").of("one").at(1).passes();
        EXPECT_LE(request.part().left, 60U);
        request.end(0, 1);
        EXPECT_GT(redis.model.time_to_live(sharer_key("k", "one")), 0);
    }
    redis.model.put_sorted_set(sharer_key("k", "one"));
    redis.model.put_sorted_set("k:sharers");
    redis.model.put_sorted_set("k:turns");
    FairRequest request(&redis);
    EXPECT_TRUE(request.charge(bucket, "k").of("one").at(1).passes());
    EXPECT_EQ(request.part().weights, 1U);
}

TEST_F(FairSharers, AllThatTheScriptWritesExpires) {
    FairRequest request(&redis);
    ASSERT_TRUE(request.charge(tokens, "k", 10).of("one").at(1, 0, 2).passes());
    ASSERT_TRUE(FairRequest(&redis).charge(slots, "s").of("one").at(1, 0, 2).passes());
    EXPECT_EQ(redis.model.keys().size(), 11U);
    for (const std::string& key : redis.model.keys()) {
        EXPECT_GT(redis.model.time_to_live(key), 0) << key;
    }
    redis.pass(kDay);
    EXPECT_TRUE(redis.model.keys().empty());
}

}  // namespace
}  // namespace ai_limit
