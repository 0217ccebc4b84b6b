// Start-time fair queueing, in virtual time.

#include "core/sharers/service.h"

#include <gtest/gtest.h>

#include <random>

#include "zone_memory.h"

namespace ai_limit {
namespace {

constexpr Millis kNow = 1'000'000'000;

/** Sharers that all have requests waiting, and a server that serves one after the other. */
class Server {
public:
    explicit Server(const std::vector<uint32_t>& weights)
        : limit_(limit_of_rate(Algorithm::kTokenBucket, "10kr/m")),
          weights_(weights),
          states_(weights.size()),
          floors_(weights.size()),
          served_(weights.size()) {
        for (size_t i = 0; i < weights.size(); ++i) {
            states_[i].weight = weights[i] & 0x3fff;
            states_[i].at = static_cast<uint64_t>(kNow);
        }
        activity_.served = 0;
    }

    /** Serves a request of that cost, of the sharer whose turn it is, and returns who that is. */
    size_t serve(const std::vector<Amount>& costs) {
        size_t next = 0;
        for (size_t i = 1; i < weights_.size(); ++i) {
            next = goes_before(i, next) ? i : next;
        }
        const uint64_t start = start_of(next);
        note_service({&limit_, weights_[next], costs[next]}, start, &states_[next]);
        advance_service(&activity_, start);
        floors_[next] = activity_.served;
        served_[next] += costs[next];
        return next;
    }

    double service(size_t i) const { return double(served_[i]) / weights_[i]; }
    SharerState* state(size_t i) { return &states_[i]; }
    const Limit& limit() const { return limit_; }

private:
    uint64_t start_of(size_t i) const {
        return start_of_service(limit_, states_[i], floors_[i], kNow);
    }
    bool goes_before(size_t i, size_t j) const {
        return static_cast<int64_t>((start_of(i) - start_of(j)) << 16) < 0;
    }

    Limit limit_;
    KeyActivity activity_{};
    std::vector<uint32_t> weights_;
    std::vector<SharerState> states_;
    std::vector<uint64_t> floors_;
    std::vector<Amount> served_;
};

TEST(Service, SharersOfOneWeightTakeTurns) {
    Server server({1, 1, 1});
    const std::vector<Amount> costs = {1, 1, 1};
    for (int round = 0; round < 100; ++round) {
        std::vector<int> times(3);
        for (int i = 0; i < 3; ++i) {
            ++times[server.serve(costs)];
        }
        EXPECT_EQ(times, std::vector<int>({1, 1, 1})) << round;
    }
}

/** The theorem of start-time fair queueing, at each moment of a long time. */
TEST(Service, DiffersByNoMoreThanTwoOfTheLargestRequests) {
    std::mt19937_64 random(5);
    for (int round = 0; round < 30; ++round) {
        std::vector<uint32_t> weights(2 + random() % 5);
        for (uint32_t& weight : weights) {
            weight = uint32_t(1 + random() % 20);
        }
        const Amount largest = 1 + random() % 2'000;
        Server server(weights);
        std::vector<Amount> costs(weights.size());
        for (Amount& cost : costs) {
            cost = 1 + random() % largest;
        }
        for (int i = 0; i < 2'000; ++i) {
            costs[server.serve(costs)] = 1 + random() % largest;
            for (size_t one = 0; one < weights.size(); ++one) {
                for (size_t other = 0; other < one; ++other) {
                    const double most =
                        double(largest) / weights[one] + double(largest) / weights[other];
                    // Services last a whole number of 2^-24 of the limit.
                    ASSERT_LE(std::abs(server.service(one) - server.service(other)),
                              most * 1.01 + 2)
                        << "round " << round << ", service " << i;
                }
            }
        }
    }
}

TEST(Service, SharerThatUsedLessThanItWasChargedIsServedEarlier) {
    Server server({1, 1});
    const std::vector<Amount> costs = {100, 100};
    for (int i = 0; i < 10; ++i) {
        server.serve(costs);
    }
    int of_first = 0;
    for (int i = 0; i < 20; ++i) {
        const size_t served = server.serve(costs);
        of_first += served == 0 ? 1 : 0;
        correct_service(server.limit(), 100, served == 0 ? 25 : 100, server.state(served));
    }
    EXPECT_NEAR(of_first, 16, 1);
}

TEST(Service, SharerThatDidNotAskHasSavedUpNothing) {
    const Limit limit = limit_of_rate(Algorithm::kTokenBucket, "60r/m");
    SharerState idle{};
    idle.weight = 1;
    idle.at = static_cast<uint64_t>(kNow);
    note_service({&limit, 1, 1}, 0, &idle);
    const uint64_t later = uint64_t{1} << 30;
    EXPECT_EQ(start_of_service(limit, idle, later, kNow), later);
}

TEST(Service, SharerThatDidNotAskOwesNothing) {
    const Limit limit = limit_of_rate(Algorithm::kTokenBucket, "60r/m");
    SharerState idle{};
    idle.weight = 1;
    idle.at = static_cast<uint64_t>(kNow);
    note_service({&limit, 1, 600}, 0, &idle);
    constexpr Millis kLater = kNow + 120'000;
    EXPECT_EQ(begin_service(limit, 5, kLater, &idle), 5U);
    // Not even if its first request was refused.
    idle.at = static_cast<uint64_t>(kLater);
    EXPECT_EQ(begin_service(limit, 5, kLater, &idle), 5U);
}

TEST(Service, SharerOfLongAgoIsNotTakenForOneThatIsAhead) {
    const Limit limit = limit_of_rate(Algorithm::kTokenBucket, "60r/m");
    SharerState old{};
    old.weight = 1;
    old.at = static_cast<uint64_t>(kNow);
    note_service({&limit, 1, 1}, (uint64_t{1} << 47) - 1, &old);
    EXPECT_EQ(start_of_service(limit, old, 0, kNow + 120'000), 0U);
}

}  // namespace
}  // namespace ai_limit
