#pragma once

// Keeps the counts of each policy for operators: exact over all processes and reloads.

#include <string_view>

#include "core/counts/token_counts.h"
#include "core/observe/day_count.h"
#include "core/zone/zone.h"

namespace ai_limit {

/** The counts of all processes under one number. */
struct CountSums : CountFields<uint64_t> {
    /** Rejected requests that pass after a wait. The parts may have been read a moment later. */
    uint64_t rejected_for_now() const {
        const uint64_t final = rejected_never + rejected_blocked;
        return rejected > final ? rejected - final : 0;
    }
};

/**
 * A kind of usage in answers: the count that an answer reports, the counter for it, and its name
 * when it is shown.
 */
struct UsageMeter {
    std::string_view name;
    Amount TokenCounts::*used;
    std::atomic<uint64_t> PolicyCounts::*count;
    uint64_t CountSums::*sum;
};

/** The kinds that are tokens. */
inline constexpr UsageMeter kTokenMeters[] = {
    {"input", &TokenCounts::input, &PolicyCounts::input_tokens, &CountSums::input_tokens},
    {"output", &TokenCounts::output, &PolicyCounts::output_tokens, &CountSums::output_tokens},
    {"cached_input", &TokenCounts::cached_input, &PolicyCounts::cached_input_tokens,
     &CountSums::cached_input_tokens},
    {"cache_write", &TokenCounts::cache_write, &PolicyCounts::cache_write_tokens,
     &CountSums::cache_write_tokens},
    {"cache_write_1h", &TokenCounts::cache_write_1h, &PolicyCounts::cache_write_1h_tokens,
     &CountSums::cache_write_1h_tokens},
    {"audio_input", &TokenCounts::audio_input, &PolicyCounts::audio_input_tokens,
     &CountSums::audio_input_tokens},
    {"reasoning", &TokenCounts::reasoning, &PolicyCounts::reasoning_tokens,
     &CountSums::reasoning_tokens},
    {"audio_output", &TokenCounts::audio_output, &PolicyCounts::audio_output_tokens,
     &CountSums::audio_output_tokens},
};

/** The kinds that are no tokens. */
inline constexpr UsageMeter kUnitMeters[] = {
    {"images", &TokenCounts::images, &PolicyCounts::images, &CountSums::images},
    {"searches", &TokenCounts::searches, &PolicyCounts::searches, &CountSums::searches},
    {"seconds", &TokenCounts::seconds, &PolicyCounts::seconds, &CountSums::seconds},
};

/** Calls visit(meter) for each kind. */
template <typename Visit>
void each_usage_meter(const Visit& visit) {
    for (const UsageMeter& meter : kTokenMeters) {
        visit(meter);
    }
    for (const UsageMeter& meter : kUnitMeters) {
        visit(meter);
    }
}

/** One step of the histogram of waits: those that are longer than the step before. */
struct WaitMeter {
    Millis longest;               // kNever for the last step
    std::string_view in_seconds;  // as a metric's label says it
    std::atomic<uint64_t> PolicyCounts::*count;
    uint64_t CountSums::*sum;
};
inline constexpr WaitMeter kWaitMeters[] = {
    {100, "0.1", &PolicyCounts::waits_100ms, &CountSums::waits_100ms},
    {1'000, "1", &PolicyCounts::waits_1s, &CountSums::waits_1s},
    {5'000, "5", &PolicyCounts::waits_5s, &CountSums::waits_5s},
    {30'000, "30", &PolicyCounts::waits_30s, &CountSums::waits_30s},
    {kNever, "+Inf", &PolicyCounts::waits_longer, &CountSums::waits_longer},
};

/** Counts a request that has waited for its turn. */
void count_wait(PolicyCounts* counts, Millis waited);

CountSums sum_counts(const Zone& zone, uint32_t policy);

/** All that a policy has counted, under whatever numbers it has had. */
struct PolicyTotals : CountSums {
    uint64_t usage_missing;  // answers that did not say what they used
    uint64_t cut;            // streams that were ended before their time
    uint64_t errors;         // malformed variables

    // In what the policy counts: tokens, or millionths of a dollar.
    uint64_t overshoot;  // used above the limit
    uint64_t settled;    // charged to ended requests
    uint64_t released;   // that had been reserved for these

    /** How much was reserved for each that was charged, in thousandths; 0 if none was. */
    uint64_t reserve_ratio() const {
        const double ratio =
            static_cast<double>(released) / static_cast<double>(settled != 0 ? settled : 1);
        return settled != 0 ? static_cast<uint64_t>(ratio * 1000) : 0;
    }
};

/** The requests and reservations in flight at this moment. */
struct PolicyLoad {
    uint64_t in_flight;  // requests, of concurrency=
    uint64_t reserved;   // for requests that have not ended, in what the policy counts
    uint64_t waiting;    // requests, for their turn
};

/** The counts that a process writes. `process`: its number in the zone. */
inline PolicyCounts* counts_of(const Zone& zone, uint32_t policy, uint32_t process) {
    return zone.counts(policy, process % kCountShards);
}

inline void count_one(std::atomic<uint64_t>* count) {
    count->fetch_add(1, std::memory_order_relaxed);
}

void count_tokens(PolicyCounts* counts, const TokenCounts& used);

/** Sums up what the policy of that name, which counts `measure` now, has counted. Amounts of money
 * are not mixed with others that it counted before. Takes no locks. */
PolicyTotals read_totals(const Zone& zone, std::string_view name, Measure measure);

/** Returns what of `PolicyTotals::settled` was charged on the day. */
uint64_t charged_on(const Zone& zone, std::string_view name, Measure measure, DayNumber day);

/** Sums up what is under way, by the policies' numbers: `loads` has kMaxPolicies + 1, all zero. */
void read_loads(const Zone& zone, PolicyLoad* loads);

/** The number of entries, and the number that there could be. */
uint64_t count_entries(const Zone& zone);
uint64_t count_cells(const Zone& zone);

/** For a number that is given to another policy. */
void forget_counts(const Zone& zone, uint32_t policy);

/** For a zone that is copied to another size. */
void copy_counts(const Zone& from, const Zone& to);

}  // namespace ai_limit
