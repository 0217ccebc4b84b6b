// Tests that Redis counts what all nodes have passed, whatever is lost, repeated or late on the
// way.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "random.h"
#include "redis_model/sharing_node.h"

namespace ai_limit {
namespace {

using Answer = SharingNode::Answer;

/**
 * Exchanges of nodes with Redis in which anything is lost, late, reported twice, or counted
 * meanwhile.
 */
class Chaos {
public:
    Chaos(Algorithm algorithm, uint64_t seed)
        : random_(seed), nodes_(1 + random_.below(4), hourly(algorithm, 40 + random_.below(400))) {}

    void run() {
        for (int step = 0; step < 400; ++step) {
            const size_t node = random_.below(nodes_.size());
            const uint64_t key = random_.below(kKeys);
            switch (random_.below(6)) {
                case 0:
                case 1:
                    pass(node, key);
                    break;
                case 2:
                    read(node, key);
                    break;
                case 3:
                    send();
                    break;
                case 4:
                    hear();
                    break;
                case 5:
                    ask(node, key);
                    break;
            }
        }
    }

    void check() {
        settle();
        for (uint64_t key = 0; key < kKeys; ++key) {
            EXPECT_EQ(nodes_.used_in_redis(key), passed_[key]);
            for (size_t node = 0; node < nodes_.size(); ++node) {
                passed_[key] += nodes_.ask(node, key) ? 1 : 0;
                EXPECT_EQ(nodes_[node].used_here(key, nodes_.now()), passed_[key]);
            }
            EXPECT_EQ(nodes_.used_in_redis(key), passed_[key]);
        }
        for (size_t node = 0; node < nodes_.size(); ++node) {
            EXPECT_EQ(entries_of(nodes_[node].zone(), nodes_[node].ledger_policy()), 0u);
            EXPECT_TRUE(is_at_rest(nodes_[node].zone()));
        }
    }

private:
    static constexpr uint64_t kKeys = 3;

    struct UnderWay {
        size_t node;
        KeyTelling ledger_delta;
        std::vector<int64_t> answer;
    };

    void pass(size_t node, uint64_t key) {
        const Amount cost = 1 + random_.below(5);
        passed_[key] += nodes_.pass(node, key, cost) ? cost : 0;
    }

    void ask(size_t node, uint64_t key) {
        const Amount cost = 1 + random_.below(5);
        passed_[key] += nodes_.ask(node, key, cost) ? cost : 0;
    }

    void read(size_t node, uint64_t key) {
        UnderWay one{node, {}, {}};
        if (nodes_[node].read(key, &one.ledger_delta)) {
            sent_.push_back(one);
        }
    }

    /** Any of those under way arrives; it may arrive again. */
    void send() {
        if (sent_.empty()) {
            return;
        }
        const size_t i = random_.below(sent_.size());
        UnderWay one = sent_[i];
        one.answer = nodes_.tell(one.node, one.ledger_delta);
        if (!random_.one_in(3)) {
            sent_.erase(sent_.begin() + static_cast<ptrdiff_t>(i));
        }
        if (!random_.one_in(4)) {
            answered_.push_back(one);
        }
    }

    void hear() {
        if (answered_.empty()) {
            return;
        }
        const size_t i = random_.below(answered_.size());
        const UnderWay one = answered_[i];
        answered_.erase(answered_.begin() + static_cast<ptrdiff_t>(i));
        nodes_.hear(one.node, one.ledger_delta, one.answer);
    }

    /** Each node reports all that it has; then late copies arrive. */
    void settle() {
        for (size_t node = 0; node < nodes_.size(); ++node) {
            for (uint64_t key = 0; key < kKeys; ++key) {
                nodes_.exchange(node, key);
            }
        }
        for (const UnderWay& one : sent_) {
            nodes_.tell(one.node, one.ledger_delta);
        }
    }

    Random random_;
    SharingNodes nodes_;
    std::vector<UnderWay> sent_;
    std::vector<UnderWay> answered_;
    Amount passed_[kKeys] = {};
};

TEST(LedgerProperty, CountsInRedisWhatAllNodesPassedWhateverIsLost) {
    for (Algorithm algorithm : kRates) {
        SCOPED_TRACE(name_of(algorithm));
        for (uint64_t seed = 0; seed < 25; ++seed) {
            SCOPED_TRACE("seed " + std::to_string(seed));
            Chaos chaos(algorithm, seed);
            chaos.run();
            chaos.check();
            if (testing::Test::HasFailure()) {
                return;
            }
        }
    }
}

}  // namespace
}  // namespace ai_limit
