// Tests what the script makes of the reports of nodes, and of their heartbeats.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "redis/script/script.h"
#include "redis_model/redis_calls.h"
#include "redis_model/redis_model.h"
#include "zone_memory.h"

namespace ai_limit {
namespace {

constexpr Millis kHour = 3'600'000;
constexpr Millis kNow = 1'755'777'600'000;  // a full hour
const std::string kKey = "ai_limit:{k}:p";

class Redis {
public:
    explicit Redis(Algorithm algorithm, Amount capacity = 1000)
        : limit(hourly(algorithm, capacity)), model(limit_script()) {
        model.set_clock(now);
    }

    void pass_time(Millis millis) {
        now += millis;
        model.set_clock(now);
    }

    std::vector<int64_t> run(const RedisCall& call) {
        std::vector<int64_t> answer = model.run(call.keys, call.arguments);
        EXPECT_EQ(model.error(), "");
        return answer;
    }

    /** Returns what all nodes have used then. */
    Amount tell(const std::string& node, uint64_t life, uint64_t counted, uint64_t acknowledged,
                const std::string& seed = "") {
        return used_of(
            run(tell_call(node, {{&limit, kKey, life, counted, acknowledged, seed}}, now)));
    }

    Amount take(Amount cost) {
        std::vector<int64_t> answer = run(take_call({{&limit, kKey, "", cost}}, 1000, now));
        answer.erase(answer.begin());
        return used_of(answer);
    }

    /** Returns the knowledge of a node that saw this much used, `ago` milliseconds before now. */
    std::string seed(Amount used, Millis ago = 0) const {
        const Millis then = now - ago;
        if (limit.algorithm == Algorithm::kTokenBucket) {
            return message_pack({1, 0, used, static_cast<uint64_t>(then), 0, limit.refill_millis});
        }
        if (limit.algorithm == Algorithm::kFixedWindow) {
            const fixed_window::Window window =
                fixed_window::window_at(limit.period, limit.time_zone, then);
            return message_pack({3, 0, used, window.start, window.end});
        }
        const uint64_t length = static_cast<uint64_t>(limit.period_length / 8);
        const uint64_t newest = static_cast<uint64_t>(then) / length;
        std::vector<uint64_t> numbers = {
            4, 0, length, static_cast<uint64_t>(then), 0, 0, 0, 0, 0, 0, 0, 0, 0};
        numbers[4 + newest % 9] = used;
        return message_pack(numbers);
    }

    Amount used_of(const std::vector<int64_t>& answer) const {
        Amount sum = 0;
        const bool slides = limit.algorithm == Algorithm::kSlidingWindow;
        const size_t first = slides ? 4 : 3;
        for (size_t i = first; i < first + (slides ? 9 : 1) && i < answer.size(); ++i) {
            sum += static_cast<Amount>(answer[i]);
        }
        return sum;
    }

    Limit limit;
    Millis now = kNow;
    RedisModel model;
};

class RedisReport : public testing::TestWithParam<Algorithm> {};
INSTANTIATE_TEST_SUITE_P(AllAlgorithms, RedisReport, testing::ValuesIn(kRates),
                         [](const auto& each) { return name_of(each.param); });

TEST_P(RedisReport, AddsWhatEachNodeHasCounted) {
    Redis redis(GetParam());
    EXPECT_EQ(redis.tell("a", 1, 5, 0), 5u);
    EXPECT_EQ(redis.tell("b", 1, 7, 0), 12u);
    EXPECT_EQ(redis.tell("a", 1, 8, 5), 15u);
    EXPECT_EQ(redis.take(1), 16u);
}

TEST_P(RedisReport, CountsARepeatedReportOnce) {
    Redis redis(GetParam());
    EXPECT_EQ(redis.tell("a", 1, 5, 0), 5u);
    EXPECT_EQ(redis.tell("a", 1, 5, 0), 5u);
    EXPECT_EQ(redis.tell("a", 1, 9, 0), 9u);  // the answer was lost, then more was counted
    EXPECT_EQ(redis.tell("a", 1, 9, 9), 9u);
}

TEST_P(RedisReport, CountsReportsOutOfOrderOnce) {
    Redis redis(GetParam());
    EXPECT_EQ(redis.tell("a", 1, 9, 0), 9u);
    EXPECT_EQ(redis.tell("a", 1, 5, 0), 9u);
    EXPECT_EQ(redis.tell("a", 1, 12, 0), 12u);
}

TEST_P(RedisReport, CountsANewLifeFromZeroAndIgnoresTheOldOne) {
    Redis redis(GetParam());
    EXPECT_EQ(redis.tell("a", 1, 9, 0), 9u);
    EXPECT_EQ(redis.tell("a", 2, 3, 0), 12u);
    EXPECT_EQ(redis.tell("a", 1, 9, 0), 12u);
    EXPECT_EQ(redis.tell("a", 1, 20, 0), 12u);
    EXPECT_EQ(redis.tell("a", 2, 4, 3), 13u);
}

TEST_P(RedisReport, RestoresTheNodesStateIfTheStateIsLost) {
    Redis redis(GetParam());
    redis.tell("a", 1, 9, 0);
    redis.tell("b", 1, 20, 0);
    redis.model.remove(kKey);
    EXPECT_EQ(redis.tell("a", 1, 12, 9, redis.seed(32)), 32u);
    EXPECT_EQ(redis.tell("a", 1, 12, 9, redis.seed(32)), 32u);
    EXPECT_EQ(redis.tell("b", 1, 21, 20, redis.seed(30)), 33u);
}

TEST_P(RedisReport, CountsOnlyNewUseWithoutASeed) {
    Redis redis(GetParam());
    redis.tell("a", 1, 9, 0);
    redis.model.remove(kKey);
    EXPECT_EQ(redis.tell("a", 1, 12, 9), 3u);
}

TEST_P(RedisReport, CountsFromTheAcknowledgedAmountIfTheNodesAreForgotten) {
    Redis redis(GetParam());
    redis.tell("a", 1, 9, 0);
    redis.model.remove(nodes_of(kKey));
    EXPECT_EQ(redis.tell("a", 1, 12, 9, redis.seed(12)), 12u);
    EXPECT_EQ(redis.tell("a", 1, 12, 9, redis.seed(12)), 12u);
}

TEST_P(RedisReport, RestoresTheNodesStateIfEverythingIsLost) {
    Redis redis(GetParam());
    redis.tell("a", 1, 9, 0);
    redis.model.remove_all();
    EXPECT_EQ(redis.tell("a", 1, 12, 9, redis.seed(12)), 12u);
    EXPECT_EQ(redis.tell("a", 1, 12, 9, redis.seed(12)), 12u);
}

TEST_P(RedisReport, RestoresALaggingReplicaFromTheNode) {
    Redis redis(GetParam());
    redis.tell("a", 1, 10, 0);
    const auto replica = redis.model.contents();
    redis.tell("a", 1, 30, 10, redis.seed(30));
    redis.tell("b", 1, 5, 0);
    redis.model.restore(replica);
    EXPECT_EQ(redis.tell("a", 1, 32, 30, redis.seed(37)), 37u);
    EXPECT_EQ(redis.tell("a", 1, 32, 30, redis.seed(37)), 37u);
    EXPECT_EQ(redis.tell("b", 1, 6, 5, redis.seed(36)), 38u);
}

TEST_P(RedisReport, IgnoresASeedThatKnowsLess) {
    Redis redis(GetParam());
    redis.take(50);
    EXPECT_EQ(redis.tell("a", 1, 3, 0, redis.seed(3)), 53u);
}

/** Two reports of a node crossed: the answer that it read contains what it believes unreported. */
TEST_P(RedisReport, TreatsANodesDoubleCountAsNoLoss) {
    Redis redis(GetParam());
    EXPECT_EQ(redis.tell("a", 1, 8, 0), 8u);
    EXPECT_EQ(redis.tell("a", 1, 9, 5, redis.seed(12)), 9u);
}

TEST_P(RedisReport, IgnoresAnInvalidSeed) {
    Redis redis(GetParam());
    EXPECT_EQ(redis.tell("a", 1, 3, 0, "nonsense"), 3u);
    redis.model.remove_all();
    EXPECT_EQ(redis.tell("a", 1, 3, 0, message_pack({7, 0, 3, 0, 0})), 3u);
}

TEST_P(RedisReport, ReplacesAKeyOfAnotherType) {
    Redis redis(GetParam());
    redis.model.put(nodes_of(kKey), "a text");
    redis.model.put_sorted_set(kKey);
    EXPECT_EQ(redis.tell("a", 1, 3, 0), 3u);
    EXPECT_EQ(redis.tell("a", 1, 3, 0), 3u);
}

TEST_P(RedisReport, ReportsSeveralKeysAtOnce) {
    Redis redis(GetParam());
    const std::vector<int64_t> answer = redis.run(
        tell_call("a", {{&redis.limit, "k1", 1, 4, 0}, {&redis.limit, "k2", 2, 6, 0}}, redis.now));
    const size_t fields = (answer.size() - 1) / 2;
    std::vector<int64_t> second(answer.begin() + static_cast<ptrdiff_t>(fields), answer.end());
    EXPECT_EQ(redis.used_of(answer), 4u);
    EXPECT_EQ(redis.used_of(second), 6u);
}

TEST_P(RedisReport, LetsEverythingExpire) {
    Redis redis(GetParam());
    redis.tell("a", 1, 5, 0, redis.seed(5));
    EXPECT_GT(redis.model.time_to_live(kKey), 0);
    EXPECT_GT(redis.model.time_to_live(nodes_of(kKey)), 0);
    redis.pass_time(2 * kHour);
    EXPECT_EQ(redis.model.keys(), std::vector<std::string>{});
}

TEST(RedisReportOfAFixedWindow, IgnoresUseOfAWindowThatIsOver) {
    Redis redis(Algorithm::kFixedWindow);
    redis.tell("b", 1, 100, 0, redis.seed(100));
    const std::string old = redis.seed(120);
    redis.pass_time(kHour);
    redis.take(2);
    EXPECT_EQ(redis.tell("a", 1, 20, 0, old), 2u);
    EXPECT_EQ(redis.tell("a", 1, 20, 0, old), 2u);
    // The count goes on from there with what the node has counted since.
    EXPECT_EQ(redis.tell("a", 1, 23, 20, redis.seed(3)), 5u);
}

TEST(RedisReportOfAFixedWindow, IgnoresASeedOfAnOldWindow) {
    Redis redis(Algorithm::kFixedWindow);
    const std::string old = redis.seed(20);
    redis.pass_time(kHour);
    EXPECT_EQ(redis.tell("a", 1, 20, 0, old), 0u);
}

TEST(RedisReportOfATokenBucket, RefillsReportedUseWithTime) {
    Redis redis(Algorithm::kTokenBucket, 3600);
    redis.tell("a", 1, 100, 0, redis.seed(100));
    redis.pass_time(30'000);
    EXPECT_EQ(redis.tell("a", 1, 110, 100, redis.seed(100, 30'000)), 80u);
    redis.model.remove(kKey);
    EXPECT_EQ(redis.tell("a", 1, 110, 100, redis.seed(100, 30'000)), 70u);
}

TEST(RedisReportOfTokens, KeepsReservations) {
    Redis redis(Algorithm::kTokenBucket);
    redis.run(take_call({{&redis.limit, kKey, "w-1:40", 40}}, 1000, redis.now));
    const std::vector<int64_t> answer =
        redis.run(tell_call("a", {{&redis.limit, kKey, 1, 5, 0, redis.seed(90)}}, redis.now));
    EXPECT_EQ(answer[2], 40);
    EXPECT_EQ(redis.used_of(answer), 90u);
}

TEST(RedisHeartbeat, CountsTheNodesWithARecentHeartbeat) {
    Redis redis(Algorithm::kTokenBucket);
    const auto beat = [&](const char* node) { return redis.run(beat_call(node, 5000)).at(1); };
    EXPECT_EQ(beat("a"), 1);
    EXPECT_EQ(beat("b"), 2);
    EXPECT_EQ(beat("a"), 2);
    redis.pass_time(4'999);
    EXPECT_EQ(beat("a"), 2);
    redis.pass_time(2);
    EXPECT_EQ(beat("a"), 1);
    redis.pass_time(5'000);
    EXPECT_FALSE(redis.model.exists("ai_limit:nodes"));
    redis.model.put("ai_limit:nodes", "a text");
    EXPECT_EQ(beat("a"), 1);
}

}  // namespace
}  // namespace ai_limit
