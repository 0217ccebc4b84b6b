#pragma once

// What is counted of each policy for those who operate it: exact over all processes and reloads.

#include <string_view>

#include "core/token_counts.h"
#include "core/zone.h"

namespace ai_limit {

/** What is counted under one number, by all processes. */
struct CountSums {
    uint64_t passed, rejected, rejected_dry_run;
    uint64_t input_tokens, output_tokens, cached_input_tokens;
};

CountSums sum_counts(const Zone& zone, uint32_t policy);

/** All that a policy has counted, under whatever numbers it has had. */
struct PolicyTotals : CountSums {
    uint64_t overshoot_tokens;  // used above the limit
    uint64_t usage_missing;     // answers that did not say what they used
    uint64_t errors;            // malformed variables
};

/** What is under way at this moment. */
struct PolicyLoad {
    uint64_t in_flight;        // requests, of concurrency=
    uint64_t reserved_tokens;  // held for requests that have not ended
};

/** The counts that a process writes. `process`: its number in the zone. */
inline PolicyCounts* counts_of(const Zone& zone, uint32_t policy, uint32_t process) {
    return zone.counts(policy, process % kCountShards);
}

inline void count_one(std::atomic<uint64_t>* count) {
    count->fetch_add(1, std::memory_order_relaxed);
}

void count_tokens(PolicyCounts* counts, const TokenCounts& used);

/** Sums up what the policy of that name has counted. Takes no locks. */
PolicyTotals read_totals(const Zone& zone, std::string_view name);

/** Sums up what is under way, by the policies' numbers: `loads` has kMaxPolicies + 1, all zero. */
void read_loads(const Zone& zone, PolicyLoad* loads);

/** How many entries there are, and how many there could be. */
uint64_t count_entries(const Zone& zone);
uint64_t count_cells(const Zone& zone);

/** For a number that is given to another policy. */
void forget_counts(const Zone& zone, uint32_t policy);

/** For a zone that is copied to another size. */
void copy_counts(const Zone& from, const Zone& to);

}  // namespace ai_limit
