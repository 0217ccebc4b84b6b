// Tests how far nodes that decide by their share go beyond a limit: the bound that
// docs/redis-bound.md promises, in many small worlds of simulated time. bench/share_simulator.cpp
// prints larger ones.

#include "../bench/share_simulation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <string>

#include "random.h"

namespace ai_limit {
namespace {

/** One of these. */
template <typename T>
T pick(Random* random, std::initializer_list<T> values) {
    return values.begin()[random->below(values.size())];
}

/** A world at random, in which the limits are reached. */
Scenario any_scenario(uint64_t seed) {
    Random random(seed);
    Scenario scenario{};
    scenario.algorithm = random.one_of(kRates);
    scenario.quota = pick<Amount>(&random, {10, 50, 200, 1000});
    scenario.period = 8'000;
    scenario.nodes = pick<uint32_t>(&random, {2, 3, 8, 20});
    scenario.keys = pick<uint64_t>(&random, {1, 3, 10});
    scenario.zipf = pick(&random, {0.0, 1.0});
    scenario.spread = pick(&random, {Spread::kEven, Spread::kUneven, Spread::kOneNode});
    scenario.requests = 2'500;
    scenario.duration = 2 * scenario.period;
    scenario.burst = pick<Millis>(&random, {0, 5, 50, 300});
    scenario.interval = pick<Millis>(&random, {1, 20, 100, 500});
    scenario.latency = pick<Millis>(&random, {1, 3, 20});
    scenario.lost = pick<uint32_t>(&random, {0, 0, 50});
    scenario.late = pick<uint32_t>(&random, {0, 0, 200});
    scenario.seed = seed;
    return scenario;
}

TEST(ShareSimulation, KeepsEachKeyWithinTheBoundOfUnreportedUse) {
    Amount furthest = 0;
    for (uint64_t seed = 0; seed < 30; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        const Outcome outcome = ShareSimulation(any_scenario(seed)).run();
        EXPECT_EQ(outcome.beyond_all, 0u);
        furthest = std::max(furthest, outcome.overshoot);
    }
    EXPECT_GT(furthest, 100u);  // else the bound would say nothing
}

Scenario steady(Algorithm algorithm) {
    Scenario scenario{};
    scenario.algorithm = algorithm;
    scenario.quota = 400;
    scenario.period = 8'000;
    scenario.nodes = 8;
    scenario.keys = 1;
    scenario.requests = 3'000;
    scenario.duration = 2 * scenario.period;
    return scenario;
}

TEST(ShareSimulation, SteadyDemandUsesTheQuotaAndHardlyMore) {
    for (Algorithm algorithm : kRates) {
        const Outcome outcome = ShareSimulation(steady(algorithm)).run();
        EXPECT_EQ(outcome.pressed, 1u);
        EXPECT_GT(outcome.used, 0.95) << name_of(algorithm);
        EXPECT_LT(outcome.overshoot, 50u) << name_of(algorithm);
    }
}

/** It goes beyond it by what it passes while it asks, by an answer to what it told before. */
TEST(ShareSimulation, OneNodeAloneNearlyKeepsTheLimit) {
    for (Algorithm algorithm : kRates) {
        Scenario scenario = steady(algorithm);
        scenario.nodes = 1;
        EXPECT_LE(ShareSimulation(scenario).run().overshoot, 2u) << name_of(algorithm);
    }
}

TEST(ShareSimulation, IsReproducible) {
    const Outcome first = ShareSimulation(any_scenario(3)).run();
    const Outcome second = ShareSimulation(any_scenario(3)).run();
    EXPECT_EQ(first.passed, second.passed);
    EXPECT_EQ(first.exchanges, second.exchanges);
    EXPECT_EQ(first.overshoot, second.overshoot);
}

}  // namespace
}  // namespace ai_limit
