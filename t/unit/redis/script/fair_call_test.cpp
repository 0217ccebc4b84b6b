// Reads answers about sharers and turns, as the module does. The module believes an answer only if
// all of it is right.

#include "redis/script/fair_call.h"

#include "fair_script_tests.h"

namespace ai_limit {
namespace {

using namespace fair_script_tests;

constexpr int64_t kWall = 1'755'777'600'000;  // Redis's time

/** A charge with a sharer and a turn. */
class FairQuestion : public testing::Test {
protected:
    FairQuestion() {
        begin_charge(&charge, {&bucket.limit, redis.access(), 1, bucket.number, false}, 7);
        asked.charge = &charge;
        asked.key = "k";
        asked.sharer = &sharer;
        asked.turn = &turn;
        sharer.weight = 3;
        turn.count = 5;
    }

    bool reads(const std::vector<int64_t>& numbers) {
        bool passes = false;
        Millis now = 0;
        return read_take(wire.reply_of(numbers), &asked, 1, &passes, &now);
    }

    const std::vector<int64_t> answer = {1, kWall, 0, 0, 7,  kWall, 0, 3'600'000, 1, 20,
                                         4, 15,    6, 9, 11, 10,    1, 2,         40};
    FairRedis redis;
    const ZonePolicy bucket = redis.add(hourly(Algorithm::kTokenBucket, 100));
    PolicyCharge charge{};
    RedisSharer sharer{};
    RedisTurn turn{};
    RedisCharge asked{};
    WireReader wire;
};

TEST_F(FairQuestion, AnswerIsRead) {
    ASSERT_TRUE(reads(answer));
    EXPECT_EQ(charge.use.verdict, Verdict::kRefused);
    EXPECT_TRUE(sharer.part.is_own);
    EXPECT_EQ(sharer.part.left, 20U);
    EXPECT_EQ(sharer.part.claimed, 4U);
    EXPECT_EQ(sharer.part.wait, 15);
    EXPECT_EQ(sharer.part.need, 6U);
    EXPECT_EQ(sharer.part.weights, 9U);
    EXPECT_EQ(sharer.start, 11U);
    EXPECT_EQ(sharer.served, 10U);
    EXPECT_TRUE(turn.is_behind);
    EXPECT_EQ(turn.others, 2U);
    EXPECT_EQ(turn.others_cost, 40U);
    EXPECT_EQ(sharer.weight, 3U) << "the question stays";
    EXPECT_EQ(turn.count, 5U);
}

TEST_F(FairQuestion, AnswerThatIsNoneChangesNothing) {
    std::vector<int64_t> more = answer;
    more.push_back(0);
    EXPECT_FALSE(reads(more));
    for (size_t size = 0; size < answer.size(); ++size) {
        EXPECT_FALSE(reads({answer.begin(), answer.begin() + static_cast<long>(size)}));
    }
    for (size_t i = 0; i < answer.size(); ++i) {
        std::vector<int64_t> changed = answer;
        changed[i] = (int64_t{1} << 52) + 1;
        EXPECT_FALSE(reads(changed)) << i;
    }
    EXPECT_EQ(sharer.part.left, 0U);
    EXPECT_EQ(turn.others, 0U);
    EXPECT_EQ(charge.use.verdict, Verdict::kPassed);
}

TEST_F(FairQuestion, AsksForEveryPolicyAtOnce) {
    // The most that a decision may have, each with the longest of what can be said of it.
    const ZonePolicy tokens = redis.add(limit_of_rate(Algorithm::kSlidingWindow, "1000t/h"));
    FairRequest request(&redis);
    const std::string prefix(kMaxRedisKey - 2, 'k');
    for (size_t i = 0; i < kMaxSetPolicies; ++i) {
        request.charge(tokens, prefix + std::to_string(10 + i), 1).of("one", kMaxSharerWeight);
        request.at(UINT64_MAX, kBegin.wall, UINT32_MAX);
    }
    EXPECT_TRUE(request.passes());
    EXPECT_EQ(request.part(kMaxSetPolicies - 1).weights, kMaxSharerWeight);
}

TEST_F(FairQuestion, KeyOfASharerBelongsToTheKey) {
    const std::string key = sharer_key("ai_limit:{abc}:policy", "one");
    EXPECT_EQ(key.substr(0, 24), "ai_limit:{abc}:policy:s:");
    EXPECT_EQ(key.size(), 24 + kKeyHashLength);
    EXPECT_NE(key, sharer_key("ai_limit:{abc}:policy", "other"));
}

}  // namespace
}  // namespace ai_limit
