// Tests what a node passes by its share and reports to the others: the core alone, and together
// with the script.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "random.h"
#include "redis_model/sharing_node.h"

namespace ai_limit {
namespace {

using Answer = SharingNode::Answer;

constexpr Millis kHour = 3'600'000;
constexpr uint64_t kKey = 1;

class Ledger : public testing::TestWithParam<Algorithm> {
protected:
    static Limit limit(Amount capacity) { return hourly(GetParam(), capacity); }
};
INSTANTIATE_TEST_SUITE_P(AllAlgorithms, Ledger, testing::ValuesIn(kRates),
                         [](const auto& each) { return name_of(each.param); });

/** Returns how many of these requests pass by the node's share. */
size_t passed_of(size_t requests, SharingNodes* nodes, size_t node, uint64_t key = kKey) {
    size_t passed = 0;
    for (size_t i = 0; i < requests; ++i) {
        passed += nodes->pass(node, key) ? 1 : 0;
    }
    return passed;
}

TEST(Share, IsAnEqualPartAndZeroUntilTheNodesAreKnown) {
    SharingNodes nodes(1, hourly(Algorithm::kTokenBucket, 10));
    const Zone& zone = nodes[0].zone();
    nodes[0].set_nodes(0);
    EXPECT_EQ(share_of(zone, 100), 0u);
    nodes[0].set_nodes(1);
    EXPECT_EQ(share_of(zone, 100), 100u);
    nodes[0].set_nodes(3);
    EXPECT_EQ(share_of(zone, 100), 33u);
    EXPECT_EQ(share_of(zone, 2), 0u);
}

TEST(Nodes, AreCountedAtOnceIfMoreAndLaterIfFewer) {
    SharingNodes nodes(1, hourly(Algorithm::kTokenBucket, 10));
    const Zone& zone = nodes[0].zone();
    const auto known = [&] { return zone.header()->nodes.load(); };
    note_nodes(zone, 3, 1'000);
    EXPECT_EQ(known(), 3u);
    note_nodes(zone, 2, 2'000);
    note_nodes(zone, 2, 2'000 + kNodeLease);
    EXPECT_EQ(known(), 3u);
    note_nodes(zone, 3, 7'001);  // they are all there again
    note_nodes(zone, 2, 7'002);
    EXPECT_EQ(known(), 3u);
    note_nodes(zone, 2, 7'003 + kNodeLease);
    EXPECT_EQ(known(), 2u);
}

TEST_P(Ledger, PassesUpToTheShareAndChargesNothingBeyond) {
    SharingNodes nodes(3, limit(10));
    EXPECT_EQ(passed_of(3, &nodes, 0), 3u);
    const LedgerState before = nodes[0].ledger_of(kKey);
    EXPECT_EQ(nodes[0].decide(kKey, 1, nodes.now()), Answer::kUnknown);
    EXPECT_EQ(nodes[0].ledger_of(kKey).counted, before.counted);
    EXPECT_EQ(nodes[0].used_here(kKey, nodes.now()), 3u);
    EXPECT_TRUE(is_at_rest(nodes[0].zone()));
}

TEST_P(Ledger, AsksRedisForACostBeyondTheShare) {
    SharingNodes nodes(2, limit(10));
    EXPECT_EQ(nodes[0].decide(kKey, 6, nodes.now()), Answer::kUnknown);
    EXPECT_EQ(nodes[0].decide(kKey, 5, nodes.now()), Answer::kPassed);
}

TEST_P(Ledger, RefusesWithoutAskingRedisIfTheLimitIsSpent) {
    SharingNodes nodes(2, limit(10));
    EXPECT_TRUE(nodes.ask(0, kKey, 10));
    EXPECT_EQ(nodes[0].decide(kKey, 1, nodes.now()), Answer::kRefused);
}

TEST_P(Ledger, SaysWhenAReportIsDue) {
    SharingNodes nodes(2, limit(100));
    DeltaDue news = DeltaDue::kNone;
    nodes[0].decide(kKey, 1, nodes.now(), &news);
    EXPECT_EQ(news, DeltaDue::kSoon);
    nodes[0].decide(kKey, 1, nodes.now(), &news);
    EXPECT_EQ(news, DeltaDue::kNone);
    nodes[0].decide(kKey, 23, nodes.now(), &news);  // 25 of 50
    EXPECT_EQ(news, DeltaDue::kNow);
    nodes[0].decide(kKey, 1, nodes.now(), &news);
    EXPECT_EQ(news, DeltaDue::kNone);
    EXPECT_TRUE(nodes.exchange(0, kKey));
    nodes[0].decide(kKey, 1, nodes.now(), &news);
    EXPECT_EQ(news, DeltaDue::kLater);
    nodes.pass_time(6'000);
    nodes[0].decide(kKey, 1, nodes.now(), &news);
    EXPECT_EQ(news, DeltaDue::kOverdue);
}

TEST_P(Ledger, VanishesWhenEverythingIsReported) {
    SharingNodes nodes(2, limit(1'000'000));
    for (uint64_t key = 0; key < 20; ++key) {
        ASSERT_TRUE(nodes.pass(0, key));
    }
    EXPECT_EQ(entries_of(nodes[0].zone(), nodes[0].ledger_policy()), 20u);
    for (uint64_t key = 0; key < 20; ++key) {
        EXPECT_TRUE(nodes.exchange(0, key));
        EXPECT_FALSE(nodes.exchange(0, key));
    }
    EXPECT_EQ(entries_of(nodes[0].zone(), nodes[0].ledger_policy()), 0u);
    EXPECT_EQ(nodes[0].used_here(3, nodes.now()), 1u);
}

TEST_P(Ledger, LetsNodesLearnOfEachOther) {
    SharingNodes nodes(2, limit(100));
    ASSERT_TRUE(nodes.pass(0, kKey, 20));
    ASSERT_TRUE(nodes.pass(1, kKey, 30));
    nodes.exchange(0, kKey);
    nodes.exchange(1, kKey);
    EXPECT_EQ(nodes[0].used_here(kKey, nodes.now()), 20u);
    EXPECT_EQ(nodes[1].used_here(kKey, nodes.now()), 50u);
    EXPECT_EQ(nodes.used_in_redis(kKey), 50u);
}

TEST_P(Ledger, KeepsWhatWasCountedSinceTheReport) {
    SharingNodes nodes(2, limit(100));
    nodes.pass(1, kKey, 30);
    nodes.exchange(1, kKey);
    nodes.pass(0, kKey, 20);
    KeyTelling ledger_delta;
    ASSERT_TRUE(nodes[0].read(kKey, &ledger_delta));
    const std::vector<int64_t> answer = nodes.tell(0, ledger_delta);
    nodes.pass(0, kKey, 7);
    nodes.hear(0, ledger_delta, answer);
    EXPECT_EQ(nodes[0].used_here(kKey, nodes.now()), 57u);
    EXPECT_EQ(unreported(nodes[0].ledger_of(kKey)), 7u);
    nodes.exchange(0, kKey);
    EXPECT_EQ(nodes.used_in_redis(kKey), 57u);
}

TEST_P(Ledger, SurvivesALostAnswer) {
    SharingNodes nodes(2, limit(100));
    nodes.pass(0, kKey, 20);
    KeyTelling ledger_delta;
    ASSERT_TRUE(nodes[0].read(kKey, &ledger_delta));
    nodes.tell(0, ledger_delta);
    EXPECT_TRUE(nodes[0].must_send_again(kKey, nodes.now()));
    EXPECT_FALSE(nodes[0].must_send_again(kKey, nodes.now()));  // somebody does
    nodes.pass(0, kKey, 5);
    nodes.exchange(0, kKey);
    EXPECT_EQ(nodes.used_in_redis(kKey), 25u);
    EXPECT_EQ(nodes[0].used_here(kKey, nodes.now()), 25u);
}

TEST_P(Ledger, CountsReportsAndAnswersOutOfOrderOnce) {
    SharingNodes nodes(1, limit(100));
    nodes.pass(0, kKey, 20);
    KeyTelling first, second;
    ASSERT_TRUE(nodes[0].read(kKey, &first));
    nodes.pass(0, kKey, 5);
    ASSERT_TRUE(nodes[0].read(kKey, &second));
    const std::vector<int64_t> later = nodes.tell(0, second);
    const std::vector<int64_t> earlier = nodes.tell(0, first);
    nodes.pass(0, kKey, 3);
    nodes.hear(0, second, later);
    nodes.hear(0, first, earlier);
    EXPECT_EQ(nodes[0].used_here(kKey, nodes.now()), 28u);
    nodes.exchange(0, kKey);
    EXPECT_EQ(nodes.used_in_redis(kKey), 28u);
}

TEST_P(Ledger, IgnoresALateReportOfAnEarlierLife) {
    SharingNodes nodes(2, limit(1000));
    nodes.pass(0, kKey, 20);
    KeyTelling old;
    ASSERT_TRUE(nodes[0].read(kKey, &old));
    nodes.hear(0, old, nodes.tell(0, old));
    nodes.pass(0, kKey, 4);
    EXPECT_EQ(nodes[0].ledger_of(kKey).counted, 4u);
    EXPECT_GT(nodes[0].ledger_of(kKey).life, old.ledger_delta.life);
    nodes.exchange(0, kKey);
    EXPECT_EQ(nodes.used_in_redis(kKey), 24u);
    nodes.tell(0, old);
    EXPECT_EQ(nodes.used_in_redis(kKey), 24u);
}

TEST_P(Ledger, RestoresARedisThatHasLostItsData) {
    const std::string text = SharingNode::text_of(kKey);
    for (int lost = 0; lost < 3; ++lost) {
        SharingNodes nodes(2, limit(1000));
        nodes.pass(0, kKey, 20);
        nodes.exchange(0, kKey);
        nodes.pass(0, kKey, 4);
        if (lost == 0) {
            nodes.redis.remove(text);
        } else if (lost == 1) {
            nodes.redis.remove(text + ":nodes");
        } else {
            nodes.redis.remove_all();
        }
        nodes.exchange(0, kKey);
        EXPECT_EQ(nodes.used_in_redis(kKey), 24u) << lost;
        nodes.pass(0, kKey, 1);
        nodes.exchange(0, kKey);
        EXPECT_EQ(nodes.used_in_redis(kKey), 25u) << lost;
    }
}

TEST_P(Ledger, RestoresAReplicaThatLagged) {
    SharingNodes nodes(2, limit(1000));
    nodes.pass(0, kKey, 20);
    nodes.exchange(0, kKey);
    const auto replica = nodes.redis.contents();
    nodes.pass(0, kKey, 30);
    nodes.exchange(0, kKey);
    nodes.redis.restore(replica);
    EXPECT_EQ(nodes.used_in_redis(kKey), 20u);
    nodes.pass(0, kKey, 1);
    nodes.exchange(0, kKey);
    EXPECT_EQ(nodes.used_in_redis(kKey), 51u);
}

TEST_P(Ledger, CountsARequestThatRedisDecidesOnlyInRedis) {
    SharingNodes nodes(2, limit(10));
    EXPECT_EQ(passed_of(6, &nodes, 0), 5u);
    EXPECT_TRUE(nodes.ask(0, kKey));
    EXPECT_EQ(nodes.used_in_redis(kKey), 6u);
    EXPECT_EQ(nodes[0].used_here(kKey, nodes.now()), 6u);
    EXPECT_FALSE(nodes.exchange(0, kKey));
    EXPECT_TRUE(nodes.ask(1, kKey, 4));
    EXPECT_FALSE(nodes.ask(1, kKey));
    EXPECT_EQ(nodes.used_in_redis(kKey), 10u);
    EXPECT_EQ(nodes[1].decide(kKey, 1, nodes.now()), Answer::kRefused);
}

/** The first of four nodes passes its share of 40, which is 10, and asks for the other 30. */
void ask_for_the_rest(SharingNodes* nodes, Millis lasts) {
    ASSERT_EQ(passed_of(10, nodes, 0), 10u);
    (*nodes)[0].note_ask(kKey, 30, nodes->now(), lasts);
    nodes->exchange(0, kKey);
}

TEST_P(Ledger, HasNoShareInWhatRedisMayPassAsLongAsTheAnswerIsAwaited) {
    constexpr Millis kTimeout = 60'000;
    SharingNodes nodes(4, limit(40));
    ask_for_the_rest(&nodes, kTimeout);
    for (Millis passed = 0; passed < kTimeout; passed += 1'000) {
        EXPECT_EQ(nodes[0].decide(kKey, 1, nodes.now()), Answer::kUnknown) << passed;
        nodes.pass_time(1'000);
    }
    EXPECT_EQ(nodes[0].decide(kKey, 1, nodes.now()), Answer::kUnknown);
}

TEST_P(Ledger, HasNoShareInItAlsoIfALateAnswerSetsTheRedisClockBack) {
    SharingNodes nodes(4, limit(40));
    ASSERT_EQ(passed_of(10, &nodes, 0), 10u);
    KeyTelling ledger_delta;
    ASSERT_TRUE(nodes[0].read(kKey, &ledger_delta));
    const std::vector<int64_t> answer = nodes.tell(0, ledger_delta);
    nodes.pass_time(1'000);
    nodes[0].note_ask(kKey, 30, nodes.now(), 60'000);
    nodes.hear(0, ledger_delta, answer);
    EXPECT_EQ(nodes[0].decide(kKey, 1, nodes.now()), Answer::kUnknown);
}

TEST_P(Ledger, HasNoShareInItAlsoIfTheRedisClockIsSetForward) {
    SharingNodes nodes(4, limit(40));
    ask_for_the_rest(&nodes, 10'000);
    set_redis_clock(nodes[0].zone(), nodes.now(), nodes.now().wall + 20'000);
    EXPECT_EQ(nodes[0].decide(kKey, 1, nodes.now()), Answer::kUnknown);
}

TEST_P(Ledger, HasNoShareInItWhenTokensAreSettled) {
    Limit tokens = limit(40);
    tokens.measure = Measure::kTokens;
    SharingNodes nodes(4, tokens);
    nodes[0].note_ask(kKey, 30, nodes.now());
    EXPECT_EQ(nodes[0].use_tokens(kKey, 6, nodes.now()), Answer::kPassed);
    EXPECT_EQ(nodes[0].ledger_of(kKey).share, 2u);
}

/** The worker was killed. */
TEST_P(Ledger, HasAShareAgainWhenNobodyHasNotedAnAnswer) {
    SharingNodes nodes(4, limit(40));
    ask_for_the_rest(&nodes, 60'000);
    nodes.pass_time(60'000 + 256);
    EXPECT_EQ(passed_of(30, &nodes, 0), 7u);
    nodes.exchange(0, kKey);
    EXPECT_EQ(entries_of(nodes[0].zone(), nodes[0].ledger_policy()), 0u);
}

/** The client has left, or Redis was lost. */
TEST_P(Ledger, HasAShareAgainWhenTheQuestionEnds) {
    SharingNodes nodes(4, limit(40));
    ask_for_the_rest(&nodes, 60'000);
    end_question(nodes[0].entry_of(kKey), 30);
    EXPECT_EQ(entries_of(nodes[0].zone(), nodes[0].ledger_policy()), 0u);
    EXPECT_EQ(passed_of(30, &nodes, 0), 7u);
}

TEST(AskedOfRedis, CountsForAtLeastTwoSecondsAndAtMostAnHour) {
    constexpr Millis kAgain = Millis{256} << 24;  // when the ledger's field begins again
    for (Millis now : {Millis{0}, Millis{255}, Millis{1'000'001}, kAgain - 1, kAgain - 50'000}) {
        for (Millis lasts : {1, 2'048, 2'303, 60'000, 3'600'000, 36'000'000}) {
            LedgerState ledger{};
            note_asked(&ledger, 5, now, lasts);
            const Millis known = std::clamp<Millis>(lasts, 2'048, 3'600'000);
            EXPECT_EQ(asked_of_redis(ledger, now), 5u) << now << ' ' << lasts;
            EXPECT_EQ(asked_of_redis(ledger, now + known), 5u) << now << ' ' << lasts;
            EXPECT_EQ(asked_of_redis(ledger, now + known + 256), 0u) << now << ' ' << lasts;
            EXPECT_EQ(asked_of_redis(ledger, now + kHour * 24 * 49), 0u) << now << ' ' << lasts;
        }
    }
}

TEST(AskedOfRedis, LastsAsLongAsTheQuestionThatLastsLongest) {
    LedgerState ledger{};
    note_asked(&ledger, 5, 0, 60'000);
    note_asked(&ledger, 7, 1'000, 50);
    EXPECT_EQ(asked_of_redis(ledger, 60'000), 12u);
    note_answered(&ledger, 5);
    note_asked(&ledger, 1, 60'000, 60'000);
    EXPECT_EQ(asked_of_redis(ledger, 120'000), 8u);
    EXPECT_EQ(asked_of_redis(ledger, 120'256), 0u);
}

TEST_P(Ledger, CountsADryRunWithoutAskingRedis) {
    SharingNodes nodes(2, limit(10));
    nodes[0].set_dry_run();
    EXPECT_EQ(passed_of(12, &nodes, 0), 12u);
    EXPECT_EQ(nodes[0].used_here(kKey, nodes.now()), 10u);
    nodes.exchange(0, kKey);
    EXPECT_EQ(nodes.used_in_redis(kKey), 10u);
}

TEST_P(Ledger, CountsTokensWhenTheyAreSettled) {
    Limit tokens = limit(1000);
    tokens.measure = Measure::kTokens;
    SharingNodes nodes(2, tokens);
    DeltaDue news = DeltaDue::kNone;
    EXPECT_EQ(nodes[0].use_tokens(kKey, 300, nodes.now(), &news), Answer::kPassed);
    EXPECT_NE(news, DeltaDue::kNone);
    EXPECT_EQ(unreported(nodes[0].ledger_of(kKey)), 300u);
    EXPECT_EQ(nodes[0].used_here(kKey, nodes.now()), 300u);
    EXPECT_TRUE(nodes.exchange(0, kKey));
    EXPECT_EQ(nodes[0].used_here(kKey, nodes.now()), 300u);
    EXPECT_EQ(nodes[1].use_tokens(kKey, 900, nodes.now()), Answer::kPassed);
    EXPECT_TRUE(nodes.exchange(1, kKey));
    EXPECT_EQ(nodes[1].used_here(kKey, nodes.now()), 1200u);
    EXPECT_EQ(nodes[1].use_tokens(kKey, 1, nodes.now()), Answer::kRefused);
    EXPECT_EQ(entries_of(nodes[1].zone(), nodes[1].ledger_policy()), 0u);
}

TEST_P(Ledger, AsksRedisForTokensBeyondTheShare) {
    Limit tokens = limit(1000);
    tokens.measure = Measure::kTokens;
    SharingNodes nodes(2, tokens);
    EXPECT_EQ(nodes[0].use_tokens(kKey, 500, nodes.now()), Answer::kPassed);
    EXPECT_EQ(nodes[0].use_tokens(kKey, 1, nodes.now()), Answer::kUnknown);
    nodes.exchange(0, kKey);
    EXPECT_EQ(nodes[0].use_tokens(kKey, 1, nodes.now()), Answer::kPassed);
}

/** A node with a share of tokens does not report each answer at once. */
TEST_P(Ledger, ReportsFewTokensAfterTheInterval) {
    Limit tokens = limit(1000);
    tokens.measure = Measure::kTokens;
    SharingNodes nodes(2, tokens);
    DeltaDue news = DeltaDue::kNone;
    nodes[0].use_tokens(kKey, 300, nodes.now(), &news);
    nodes.exchange(0, kKey);
    nodes[0].use_tokens(kKey, 1, nodes.now(), &news);
    EXPECT_EQ(news, DeltaDue::kLater);
}

TEST(FixedWindowLedger, DropsUnreportedUseOfTheOldWindow) {
    SharingNodes nodes(2, hourly(Algorithm::kFixedWindow, 100));
    nodes.pass_time(kHour - 10);
    nodes.pass(0, kKey, 20);
    nodes.pass_time(20);
    ASSERT_TRUE(nodes.pass(0, kKey, 3));
    EXPECT_EQ(unreported(nodes[0].ledger_of(kKey)), 3u);
    nodes.exchange(0, kKey);
    EXPECT_EQ(nodes.used_in_redis(kKey), 3u);
    EXPECT_EQ(nodes[0].used_here(kKey, nodes.now()), 3u);
}

TEST(FixedWindowLedger, EndsTheOldWindowAtAnAnswerFromTheNewOne) {
    SharingNodes nodes(2, hourly(Algorithm::kFixedWindow, 100));
    nodes.pass_time(kHour - 10);
    nodes.pass(0, kKey, 20);
    KeyTelling ledger_delta;
    ASSERT_TRUE(nodes[0].read(kKey, &ledger_delta));
    nodes.pass(0, kKey, 5);
    nodes.pass_time(20);
    nodes.pass(1, kKey, 7);
    nodes.exchange(1, kKey);
    nodes.hear(0, ledger_delta, nodes.tell(0, ledger_delta));
    EXPECT_EQ(nodes[0].used_here(kKey, nodes.now()), 7u);
    EXPECT_EQ(unreported(nodes[0].ledger_of(kKey)), 0u);
}

TEST(FixedWindowLedger, IgnoresAnAnswerFromTheOldWindow) {
    SharingNodes nodes(2, hourly(Algorithm::kFixedWindow, 100));
    nodes.pass_time(kHour - 10);
    nodes.pass(0, kKey, 20);
    KeyTelling ledger_delta;
    ASSERT_TRUE(nodes[0].read(kKey, &ledger_delta));
    const std::vector<int64_t> answer = nodes.tell(0, ledger_delta);
    nodes.pass_time(20);
    nodes.pass(0, kKey, 3);
    nodes.hear(0, ledger_delta, answer);
    EXPECT_EQ(nodes[0].used_here(kKey, nodes.now()), 3u);
    nodes.exchange(0, kKey);
    EXPECT_EQ(nodes.used_in_redis(kKey), 3u);
}

TEST(FixedWindowLedger, EndsTheOldWindowAtADecisionOfRedisInTheNewOne) {
    SharingNodes nodes(2, hourly(Algorithm::kFixedWindow, 100));
    nodes.pass_time(kHour - 10);
    nodes.pass(0, kKey, 20);
    nodes.pass_time(20);
    // The report before it is lost.
    Command command;
    WireReader wire;
    nodes[0].write_take(kKey, 1, nodes.now(), &command);
    const std::vector<int64_t> answer = run_script(&nodes.redis, script_call_of(command));
    EXPECT_TRUE(nodes[0].read_take(kKey, 1, wire.reply_of(answer), nodes.now()));
    EXPECT_EQ(nodes[0].used_here(kKey, nodes.now()), 1u);
    nodes.exchange(0, kKey);
    EXPECT_EQ(nodes.used_in_redis(kKey), 1u);
}

TEST(FixedWindowLedger, EndsTheOldWindowAtTokensOfTheNewOne) {
    Limit limit = hourly(Algorithm::kFixedWindow, 1000);
    limit.measure = Measure::kTokens;
    SharingNodes nodes(2, limit);
    nodes.pass_time(kHour - 10);
    nodes[0].use_tokens(kKey, 200, nodes.now());
    nodes.pass_time(20);
    nodes[0].use_tokens(kKey, 30, nodes.now());
    EXPECT_EQ(unreported(nodes[0].ledger_of(kKey)), 30u);
    nodes.exchange(0, kKey);
    EXPECT_EQ(nodes.used_in_redis(kKey), 30u);
}

TEST(TokenBucketLedger, LetsTheShareGrowWithTheRefill) {
    SharingNodes nodes(2, hourly(Algorithm::kTokenBucket, 3600));
    EXPECT_TRUE(nodes.ask(0, kKey, 3600));
    EXPECT_EQ(nodes[0].decide(kKey, 1, nodes.now()), Answer::kRefused);
    nodes.pass_time(1'000);
    EXPECT_EQ(nodes[0].decide(kKey, 1, nodes.now()), Answer::kUnknown);
    nodes.pass_time(1'000);
    EXPECT_EQ(nodes[0].decide(kKey, 1, nodes.now()), Answer::kPassed);
    EXPECT_EQ(nodes[0].decide(kKey, 1, nodes.now()), Answer::kUnknown);
}

/**
 * Each node alone uses less than comes back, so a count in Redis has come back by the next report.
 */
TEST(TokenBucketLedger, KeepsAllNodesTogetherWithinTheRefill) {
    SharingNodes nodes(2, limit_of_rate(Algorithm::kTokenBucket, "100r/s"));
    size_t passed = 0;
    for (int i = 0; i < 1000; ++i) {  // 80 in a second by each node, told every 100 ms
        nodes.pass_time(10);
        for (size_t node = 0; node < 2; ++node) {
            passed += i % 5 != 0 && nodes.pass(node, kKey) ? 1 : 0;
        }
        if (i % 10 == 4 || i % 10 == 9) {
            nodes.exchange(i % 10 == 4 ? 0 : 1, kKey);
        }
    }
    EXPECT_LE(passed, 100u + 1000u + 100u);
    EXPECT_GE(passed, 1000u);
}

TEST(LedgerMigration, CopiesLedgers) {
    SharingNodes nodes(2, hourly(Algorithm::kTokenBucket, 100));
    nodes.pass(0, kKey, 5);
    LazyZone other({128, 128, 1});
    copy_zone(nodes[0].user().journal(), other.zone(), nodes.now());
    EXPECT_EQ(entries_of(other.zone(), nodes[0].ledger_policy()), 1u);
    EXPECT_EQ(entries_of(other.zone(), nodes[0].used_policy()), 1u);
}

}  // namespace
}  // namespace ai_limit
