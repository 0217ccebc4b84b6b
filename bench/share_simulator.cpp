// Simulates how far nodes that decide by their share go beyond a limit, how much of it they can
// use, and what that costs Redis: in simulated time, with the module's own code and script. Prints
// Markdown.
//
// usage: share_simulator [thousands of requests in each row]

#include <cinttypes>
#include <cstdio>
#include <cstdlib>

#include "share_simulation.h"

namespace {

using namespace ai_limit;

constexpr Millis kPeriod = 10'000;
constexpr Millis kDuration = 20'000;

struct Row {
    Algorithm algorithm;
    uint32_t nodes;
    uint64_t keys;
    double zipf;
    Spread spread;
    Amount quota;
    bool is_lossy;
    Millis burst = 0;
};

const char* algorithm_of(const Row& row) {
    return row.algorithm == Algorithm::kTokenBucket     ? "bucket"
           : row.algorithm == Algorithm::kSlidingWindow ? "sliding"
                                                        : "fixed";
}

const char* traffic_of(const Row& row) {
    return row.burst != 0 ? "bursts" : row.zipf != 0 ? "Zipf" : "even";
}

const char* spread_of(const Row& row) {
    return row.spread == Spread::kEven ? "even" : row.spread == Spread::kUneven ? "uneven" : "one";
}

/** False if a key went beyond the formula. */
bool print_row(const Row& row, uint64_t requests) {
    Scenario scenario{row.algorithm, row.quota,  kPeriod,  row.nodes, row.keys,
                      row.zipf,      row.spread, requests, kDuration};
    scenario.burst = row.burst;
    scenario.lost = row.is_lossy ? 50 : 0;
    scenario.late = row.is_lossy ? 200 : 0;
    const Outcome said = ShareSimulation(scenario).run();
    char used[16] = "";
    // In bursts much of a quota comes back while nobody wants it.
    if (said.pressed != 0 && row.burst == 0) {
        snprintf(used, sizeof(used), "%.1f %%", said.used * 100);
    }
    const double seconds = static_cast<double>(kDuration) / 1000;
    const auto per_second = [seconds](uint64_t n) { return static_cast<double>(n) / seconds; };
    printf("| %u | 1e%.0f | %s | %s | %s | %" PRIu64 " | %s | %.1f %% | %" PRIu64 " | %" PRIu64
           " | %" PRIu64 " | %" PRIu64 " / %" PRIu64 " | %" PRIu64 " | %s | %.0f | %.0f | %.0f |\n",
           row.nodes, std::log10(static_cast<double>(row.keys)), traffic_of(row), spread_of(row),
           algorithm_of(row), row.quota, row.is_lossy ? "5 % / 20 %" : "none",
           100.0 * static_cast<double>(said.overshoot) / static_cast<double>(row.quota),
           said.overshoot, said.bound.of_all_but_one, said.bound.of_all, said.beyond_all_but_one,
           said.beyond_all, said.pressed, used, per_second(said.exchanges),
           per_second(said.reported), per_second(said.asks));
    fflush(stdout);
    return said.beyond_all == 0;
}

constexpr Algorithm kBucket = Algorithm::kTokenBucket;
constexpr Algorithm kSliding = Algorithm::kSlidingWindow;
constexpr Algorithm kFixed = Algorithm::kFixedWindow;

// Demand is about twice the quota where keys are alike, as far as there are enough requests.
const Row kRows[] = {
    {kBucket, 2, 1'000, 0, Spread::kEven, 20, false},
    {kBucket, 8, 1'000, 0, Spread::kEven, 20, false},
    {kBucket, 32, 1'000, 0, Spread::kEven, 20, false},
    {kBucket, 128, 1'000, 0, Spread::kEven, 20, false},
    {kBucket, 1000, 1'000, 0, Spread::kEven, 20, false},
    {kBucket, 2, 1'000, 1, Spread::kEven, 1'000, false},
    {kBucket, 8, 1'000, 1, Spread::kEven, 1'000, false},
    {kBucket, 32, 1'000, 1, Spread::kEven, 1'000, false},
    {kBucket, 128, 1'000, 1, Spread::kEven, 1'000, false},
    {kBucket, 1000, 1'000, 1, Spread::kEven, 1'000, false},
    {kBucket, 8, 1'000, 1, Spread::kUneven, 1'000, false},
    {kBucket, 32, 1'000, 1, Spread::kUneven, 1'000, false},
    {kBucket, 1000, 1'000, 1, Spread::kUneven, 1'000, false},
    {kBucket, 8, 1'000, 1, Spread::kOneNode, 1'000, false},
    {kBucket, 1000, 1'000, 1, Spread::kOneNode, 1'000, false},
    {kFixed, 8, 1'000, 1, Spread::kEven, 1'000, false},
    {kFixed, 128, 1'000, 1, Spread::kUneven, 1'000, false},
    {kSliding, 8, 1'000, 1, Spread::kEven, 1'000, false},
    {kSliding, 128, 1'000, 1, Spread::kUneven, 1'000, false},
    {kBucket, 8, 1'000, 1, Spread::kUneven, 1'000, true},
    {kFixed, 32, 1'000, 1, Spread::kUneven, 1'000, true},
    {kSliding, 128, 1'000, 1, Spread::kUneven, 1'000, true},
    {kBucket, 8, 10, 0, Spread::kEven, 1'000, false, 50},
    {kBucket, 128, 10, 0, Spread::kEven, 1'000, false, 50},
    {kFixed, 8, 10, 0, Spread::kUneven, 1'000, false, 50},
    {kSliding, 8, 10, 0, Spread::kEven, 1'000, false, 50},
    {kBucket, 32, 10, 0, Spread::kEven, 1'000, true, 300},
    {kBucket, 32, 10'000, 0, Spread::kEven, 5, false},
    {kBucket, 32, 100'000, 1, Spread::kUneven, 100, false},
    {kBucket, 32, 1'000'000, 1, Spread::kUneven, 100, false},
    {kBucket, 32, 10'000'000, 1, Spread::kUneven, 100, false},
    {kBucket, 1000, 10'000'000, 1, Spread::kUneven, 100, true},
};

}  // namespace

int main(int argc, char** argv) {
    const uint64_t requests = 1000 * (argc > 1 ? strtoull(argv[1], nullptr, 10) : 100);
    printf(
        "\nNodes that decide by their share, sync=100ms, Redis 1 ms away, in simulated time: "
        "%" PRIu64 " requests in %" PRId64 " s for limits of so many in %" PRId64
        " s. Goal: no key goes beyond its limit by more than the formula says.\n\n",
        requests, kDuration / 1000, kPeriod / 1000);
    printf(
        "| nodes | keys | traffic over keys | over nodes | algorithm | limit | lost / late | "
        "furthest beyond | that is | bound: all nodes but one | all nodes | keys beyond these | "
        "keys with more demand than quota | of their quota was used | exchanges/s | keys "
        "told/s | asks/s |\n");
    printf(
        "| ---: | ---: | --- | --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: "
        "| ---: | ---: | ---: | ---: |\n");
    bool holds = true;
    for (const Row& row : kRows) {
        holds &= print_row(row, requests);
    }
    if (!holds) {
        printf("\n**A key went further than the formula says.**\n");
    }
    return 0;
}
