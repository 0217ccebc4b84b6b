// Whose turn it is in Redis, over all nodes.

#include "fair_script_tests.h"

namespace ai_limit {
namespace {

using namespace fair_script_tests;

class FairTurns : public testing::Test {
protected:
    FairTurns() {
        while (FairRequest(&redis).charge(bucket, "k").passes()) {
        }
    }

    /** One asks that comes now, and waits if it is refused. Returns its arrival if it waits. */
    Millis comes(uint64_t node) {
        FairRequest request(&redis);
        EXPECT_FALSE(request.charge(bucket, "k").at(node).passes());
        return request.answered;
    }

    bool passes(uint64_t node, Millis arrival, uint32_t count = 1) {
        return FairRequest(&redis).charge(bucket, "k").at(node, arrival, count).passes();
    }

    /** True if one passes that comes now, and does not wait. */
    bool newcomer_passes(uint64_t node) {
        return FairRequest(&redis).charge(bucket, "k").at(node, 0, 0, false).passes();
    }

    void leaves(uint64_t node) {
        Command command;
        write_leave("k", node, &command);
        redis.run(command);
    }

    FairRedis redis;
    const ZonePolicy bucket = redis.add(limit_of_rate(Algorithm::kTokenBucket, "600r/m", 3));
};

TEST_F(FairTurns, FirstToComeIsTheFirstToBeServedOnAllNodes) {
    const Millis first = comes(1);
    redis.pass(10);
    const Millis second = comes(2);
    redis.pass(10);
    const Millis third = comes(3);
    redis.pass(80);  // one comes back
    EXPECT_FALSE(passes(3, third));
    EXPECT_FALSE(passes(2, second));
    EXPECT_TRUE(passes(1, first));
    redis.pass(100);
    EXPECT_FALSE(passes(3, third));
    EXPECT_TRUE(passes(2, second));
    redis.pass(100);
    EXPECT_TRUE(passes(3, third));
}

TEST_F(FairTurns, NewcomerDoesNotOvertakeWhoWaits) {
    const Millis first = comes(1);
    redis.pass(100);
    FairRequest newcomer(&redis);
    EXPECT_FALSE(newcomer.charge(bucket, "k").at(2, 0, 1, false).passes());
    EXPECT_TRUE(newcomer.turn().is_behind);
    EXPECT_EQ(newcomer.verdict(0), Verdict::kRefused);
    EXPECT_EQ(newcomer.turn().others, 1U);
    EXPECT_EQ(newcomer.turn().others_cost, 1U);
    EXPECT_TRUE(passes(1, first));
    redis.pass(100);
    EXPECT_TRUE(passes(2, 0));
}

TEST_F(FairTurns, NewcomerOfTheSameMomentDoesNotOvertakeEither) {
    redis.pass(99);
    const Millis first = comes(2);
    redis.model.remove("k");  // there is room at once
    EXPECT_FALSE(FairRequest(&redis).charge(bucket, "k").at(1, 0, 0, false).passes());
    EXPECT_TRUE(passes(2, first));
}

TEST_F(FairTurns, PlaceOfANodeThatIsSilentLapses) {
    comes(1);
    redis.pass(999);
    EXPECT_FALSE(newcomer_passes(2));
    redis.pass(1);
    EXPECT_TRUE(newcomer_passes(2));
}

TEST_F(FairTurns, NodeThatLeavesHoldsUpNobody) {
    comes(1);
    redis.pass(100);
    EXPECT_FALSE(newcomer_passes(2));
    leaves(1);
    EXPECT_TRUE(newcomer_passes(2));
}

TEST_F(FairTurns, NodeWithFurtherRequestsKeepsItsPlace) {
    const Millis first = comes(1);
    redis.pass(200);  // two come back
    EXPECT_TRUE(passes(1, first, 2));
    EXPECT_FALSE(newcomer_passes(2));
    EXPECT_TRUE(passes(1, first, 1));
    redis.pass(100);
    EXPECT_TRUE(newcomer_passes(2));
}

TEST_F(FairTurns, NewcomerDoesNotOvertakeWhoWaitsOnItsOwnNode) {
    const Millis first = comes(1);
    redis.pass(100);
    EXPECT_FALSE(FairRequest(&redis).charge(bucket, "k").at(1, 0, 1, false).passes());
    EXPECT_FALSE(passes(1, 0, 2)) << "one that waits does not take its place";
    EXPECT_FALSE(newcomer_passes(2));
    EXPECT_TRUE(passes(1, first, 1));
    redis.pass(100);
    EXPECT_TRUE(newcomer_passes(1));
}

TEST_F(FairTurns, RequestThatDoesNotWaitTakesNoPlace) {
    FairRequest request(&redis);
    EXPECT_FALSE(request.charge(bucket, "k").at(1, 0, 0, false).passes());
    redis.pass(100);
    EXPECT_TRUE(newcomer_passes(2));
}

TEST_F(FairTurns, RequestThatAnotherPolicyRefusesHoldsUpNobody) {
    const ZonePolicy other = redis.add(limit_of_rate(Algorithm::kTokenBucket, "1r/h"));
    ASSERT_TRUE(FairRequest(&redis).charge(other, "o").passes());
    const Millis first = comes(1);
    redis.pass(100);
    FairRequest request(&redis);
    EXPECT_FALSE(request.charge(bucket, "k").at(1, first).charge(other, "o").at(1, first).passes());
    EXPECT_EQ(request.verdict(0), Verdict::kPassed);
    EXPECT_EQ(request.verdict(1), Verdict::kRefused);
    EXPECT_TRUE(newcomer_passes(2));
    EXPECT_FALSE(FairRequest(&redis).charge(other, "o").at(2).passes());
}

TEST_F(FairTurns, DryRunWaitsForNobody) {
    comes(1);
    redis.pass(100);
    FairRequest request(&redis);
    EXPECT_TRUE(request.charge(bucket, "k", 1, true).at(2, 0, 0, false).passes());
    EXPECT_FALSE(request.turn().is_behind);
    EXPECT_EQ(request.verdict(0), Verdict::kPassed);
}

TEST_F(FairTurns, SharerThatWasServedLeastComesFirst) {
    redis.model.remove_all();
    for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(FairRequest(&redis).charge(bucket, "k").of("greedy").passes());
    }
    FairRequest greedy(&redis);
    EXPECT_FALSE(greedy.charge(bucket, "k").of("greedy").at(1).passes());
    redis.pass(50);
    FairRequest modest(&redis);
    EXPECT_FALSE(modest.charge(bucket, "k").of("modest").at(2).passes());
    EXPECT_FALSE(modest.turn().is_behind);
    EXPECT_LT(modest.sharer().start, greedy.sharer().start);
    redis.pass(50);
    FairRequest again(&redis);
    EXPECT_FALSE(again.charge(bucket, "k").of("greedy").at(1, greedy.answered).passes());
    EXPECT_TRUE(again.turn().is_behind);
    FairRequest served(&redis);
    EXPECT_TRUE(served.charge(bucket, "k")
                    .of("modest", 1, modest.sharer().start)
                    .at(2, modest.answered)
                    .passes());
}

TEST_F(FairTurns, SharerWhoseOwnPartHoldsItBackHoldsUpNobody) {
    const ZonePolicy pool = redis.add(limit_of_rate(Algorithm::kTokenBucket, "1000r/h"));
    ASSERT_TRUE(FairRequest(&redis).charge(pool, "p", 450).of("y").passes());
    ASSERT_TRUE(FairRequest(&redis).charge(pool, "p", 100).of("x").passes());
    // All that is left is y's to claim, and x has had its part with this.
    FairRequest held(&redis);
    ASSERT_FALSE(held.charge(pool, "p", 450).of("x").at(1).passes());
    ASSERT_FALSE(held.sharer().part.is_own);
    redis.pass(500);
    FairRequest other(&redis);
    EXPECT_TRUE(other.charge(pool, "p", 40).of("y").at(2).passes());
    EXPECT_FALSE(other.turn().is_behind);
    EXPECT_GT(other.sharer().start, held.sharer().start);
}

TEST_F(FairTurns, KeepsTheEntriesOfSixtyFourNodes) {
    for (uint64_t node = 1; node <= 80; ++node) {
        comes(node);
    }
    FairRequest request(&redis);
    request.charge(bucket, "k").at(100).passes();
    EXPECT_EQ(request.turn().others, 64U);
    EXPECT_LT(redis.model.commands(), 1000U);
}

}  // namespace
}  // namespace ai_limit
