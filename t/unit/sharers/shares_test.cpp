// What sharers of a key get, in virtual time.

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "rate_zone.h"

namespace ai_limit {
namespace {

using rate_zone::kNow;
using rate_zone::later;
using rate_zone::RateZone;

constexpr uint64_t kKey = 77'000;

/** A sharer that asks at a steady rate, from `from` on. */
struct Asker {
    double a_minute;
    uint32_t weight = 1;
    Amount cost = 1;
    double from = 0;
    double next = 0;
    Amount asked = 0;
    Amount got = 0;

    double share() const { return asked == 0 ? 1 : double(got) / double(asked); }
};

/** One key with sharers. */
class Pool {
public:
    explicit Pool(const Limit& limit) : zone_(sizes()), policy_(zone_.add(limit)) {}

    bool ask(Asker* asker, uint64_t sharer, Millis at) {
        Request request(zone_.user);
        const bool passes =
            request.charge_shared(policy_, kKey, 1000 * (sharer + 1), asker->weight, asker->cost)
                .admit(later(at));
        asker->asked += asker->cost;
        asker->got += passes ? asker->cost : 0;
        return passes;
    }

    /** Lets all ask until `end`, in milliseconds. */
    void run(std::vector<Asker>* askers, Millis end) {
        for (Asker& asker : *askers) {
            asker.next = std::max(asker.next, asker.from);
        }
        for (;;) {
            const auto first =
                std::min_element(askers->begin(), askers->end(),
                                 [](const Asker& a, const Asker& b) { return a.next < b.next; });
            if (first->next >= double(end)) {
                return;
            }
            ask(&*first, uint64_t(first - askers->begin()), Millis(first->next));
            first->next += 60'000 / first->a_minute;
        }
    }

    static void forget(std::vector<Asker>* askers) {
        for (Asker& asker : *askers) {
            asker.asked = asker.got = 0;
        }
    }

private:
    static ZoneSizes sizes() { return sizes_for(1 << 20, true, false, false, true); }

    struct SharedZone : RateZone {
        using RateZone::RateZone;
        SharedPolicy add(const Limit& limit) const { return add_shared_policy(zone, "p", limit); }
    };
    SharedZone zone_;
    SharedPolicy policy_;
};

Amount all_got(const std::vector<Asker>& askers) {
    Amount sum = 0;
    for (const Asker& asker : askers) {
        sum += asker.got;
    }
    return sum;
}

TEST(Shares, GreedySharerLeavesTheOthersWhatTheyAskFor) {
    for (Algorithm algorithm : kRates) {
        Pool pool(limit_of_rate(algorithm, "100r/m"));
        // A sliding window gives back in eighths of a period: 89 of what comes evenly pass in a
        // minute, without sharers as well, and sharers claim 2 to 4 for the next eighth.
        const bool slides = algorithm == Algorithm::kSlidingWindow;
        const double modest = slides ? 17 : 19;
        std::vector<Asker> askers = {{5400}, {modest}, {modest}, {modest}, {modest}};
        pool.run(&askers, 120'000);
        Pool::forget(&askers);
        pool.run(&askers, 120'000 + 600'000);
        for (size_t i = 1; i < askers.size(); ++i) {
            EXPECT_GE(askers[i].share(), 0.95) << name_of(algorithm) << " " << i;
        }
        EXPECT_GE(all_got(askers), slides ? 850U : 990U) << name_of(algorithm);
    }
}

TEST(Shares, SharersThatAskForTooMuchGetTheirWeights) {
    for (Algorithm algorithm : {Algorithm::kTokenBucket, Algorithm::kFixedWindow}) {
        Pool pool(limit_of_rate(algorithm, "600r/m"));
        std::vector<Asker> askers = {{5000, 1}, {3000, 2}, {1200, 5}};
        pool.run(&askers, 120'000);
        Pool::forget(&askers);
        pool.run(&askers, 120'000 + 600'000);
        EXPECT_GE(all_got(askers), 5940U) << name_of(algorithm);
        for (const Asker& asker : askers) {
            EXPECT_NEAR(double(asker.got) / asker.weight, 750, 15) << name_of(algorithm);
        }
    }
}

TEST(Shares, LoneSharerGetsTheWholeLimit) {
    for (Algorithm algorithm : kRates) {
        Pool pool(limit_of_rate(algorithm, "100r/m"));
        std::vector<Asker> askers = {{6000}};
        pool.run(&askers, 30'000);
        EXPECT_GE(askers[0].got, 100U) << name_of(algorithm);
    }
}

TEST(Shares, SharerThatAsksNoMoreIsForgottenAfterAMinute) {
    Pool pool(limit_of_rate(Algorithm::kTokenBucket, "60r/h", 60));
    Asker first{};
    Asker second{};
    for (int i = 0; i < 20; ++i) {
        EXPECT_TRUE(pool.ask(&first, 1, 0));
        EXPECT_TRUE(pool.ask(&second, 2, 0));
    }
    // Half of the 60 are its part. The other half is claimed, as the other asked for 20 at once.
    for (int i = 0; i < 10; ++i) {
        EXPECT_TRUE(pool.ask(&second, 2, 1000)) << i;
    }
    EXPECT_FALSE(pool.ask(&second, 2, 1000));
    for (int i = 0; i < 10; ++i) {
        EXPECT_TRUE(pool.ask(&second, 2, 80'000)) << i;
    }
}

/** Other keys need the place of its entry. */
TEST(Shares, SharerThatUsedItsPartOfAnHourHasNotGotItAnewInAFullZone) {
    for (Algorithm algorithm : kRates) {
        const bool slides = algorithm == Algorithm::kSlidingWindow;
        ZoneSizes sizes = sizes_for(1 << 20, true, true, false, true);
        sizes.wide_buckets = 8;
        RateZone zone(sizes);
        const SharedPolicy policy =
            add_shared_policy(zone.zone, "p", limit_of_rate(algorithm, "100r/h"));
        const ZonePolicy other =
            add_policy(zone.zone, "q", limit_of_rate(Algorithm::kSlidingWindow, "9r/m"));
        const auto passes = [&](uint64_t sharer, Millis at, Amount cost) {
            Request request(zone.user);
            return request.charge_shared(policy, kKey, sharer, 1, cost).admit(later(at));
        };
        // The modest one asks for much, so that nothing is lent.
        ASSERT_TRUE(passes(1'000, 0, 40));
        ASSERT_TRUE(passes(2'000, 0, slides ? 40 : 50));
        const Millis then = 120'000;
        for (uint64_t key = 1; key <= 2'000; ++key) {
            Request(zone.user).charge(other, key * 0x9E3779B97F4A7C15).admit(later(then));
        }
        passes(1'000, then, 40);
        EXPECT_FALSE(passes(2'000, then, slides ? 15 : 10)) << name_of(algorithm);
    }
}

TEST(Shares, RequestLargerThanItsPartPassesWhenTheLimitHasRoom) {
    Pool pool(limit_of_rate(Algorithm::kTokenBucket, "100r/m"));
    Asker small{};
    Asker large{};
    large.cost = 90;
    for (uint64_t sharer = 1; sharer < 10; ++sharer) {
        EXPECT_TRUE(pool.ask(&small, sharer, 0));
    }
    EXPECT_TRUE(pool.ask(&large, 10, 60'000));
}

/** A sharer that asks at random moments, and no more than its part in the long run, gets what it
 * asks for, whatever the others do; and nothing of the limit is left unused. */
TEST(Shares, SharersWithinTheirPartsAreServedWhateverOthersAskFor) {
    std::mt19937_64 random(17);
    for (int round = 0; round < 6; ++round) {
        Pool pool(limit_of_rate(Algorithm::kTokenBucket, "1200r/m"));
        std::vector<Asker> askers(2 + random() % 6);
        uint64_t weights = 0;
        for (Asker& asker : askers) {
            asker.weight = uint32_t(1 + random() % 5);
            weights += asker.weight;
        }
        for (size_t i = 1; i < askers.size(); ++i) {
            const double part = 1200.0 * askers[i].weight / double(weights);
            askers[i].a_minute = part * (0.2 + 0.7 * double(random() % 100) / 100);
        }
        askers[0].a_minute = 12'000;
        Amount all = 0;
        std::exponential_distribution<double> gap(1);
        for (Millis end : {120'000, 420'000}) {
            Pool::forget(&askers);
            for (;;) {
                const auto first = std::min_element(
                    askers.begin(), askers.end(),
                    [](const Asker& a, const Asker& b) { return a.next < b.next; });
                if (first->next >= double(end)) {
                    break;
                }
                pool.ask(&*first, uint64_t(first - askers.begin()), Millis(first->next));
                first->next += 60'000 / first->a_minute * gap(random);
            }
            all = all_got(askers);
        }
        for (size_t i = 1; i < askers.size(); ++i) {
            EXPECT_GE(askers[i].share(), 0.95) << "round " << round << ", sharer " << i;
        }
        EXPECT_GE(all, 5940U) << "round " << round;
        EXPECT_LE(all, 6000U + 1200U) << "round " << round;
    }
}

}  // namespace
}  // namespace ai_limit
