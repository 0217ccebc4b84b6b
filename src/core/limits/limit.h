#pragma once

#include "core/limits/rate.h"
#include "core/limits/state.h"
#include "core/words/types.h"

namespace ai_limit {

/** The rate_number of all rates that came too late to get one of their own. */
constexpr uint8_t kNoRateNumber = 15;

/** A key has at most so many entries for limits of different periods (period_entries.h). */
constexpr uint32_t kMaxVariants = 4;

/** The largest quota of a sliding window: its sub-windows count in 32 bits. */
constexpr Amount kMaxSlidingQuota = 4'294'967'295;

/**
 * A policy's limit as it applies to one request, which the algorithms work with. It has only plain
 * numbers, so it can lie in shared memory.
 */
struct Limit {
    Algorithm algorithm;
    Measure measure;
    Period period;
    Amount capacity;  // burst, quota or slots; 0: nothing ever passes

    // token_bucket: refill_amount come back every refill_millis; an empty bucket is full after
    // `fills_in`.
    // `rate_number` says by which of the policy's refill_millis an entry was counted
    // (likely_limit.h), 0 before it is known.
    uint64_t refill_amount;
    uint64_t refill_millis;
    Millis fills_in;
    uint8_t rate_number;

    // Among all limits that a policy has had (policies.h); 0 if it is not known.
    uint8_t number;

    // windows: which of a key's entries counts for this period (period_entries.h).
    uint8_t variant;

    // windows
    Millis period_length;  // a month being 30 days
    Millis time_zone;      // fixed_window: milliseconds east of UTC
    bool by_wall;          // sliding_window: its parts begin by the wall clock, as nodes share it
};

/** A token bucket of `burst`; a burst of 0 stands for the number in the rate. */
Limit token_bucket_limit(const Rate& rate, Amount burst);

/** A sliding window; the rate's number must be whole and at most kMaxSlidingQuota. */
Limit sliding_window_limit(const Rate& rate);

/** A calendar window; the rate's number must be whole. */
Limit fixed_window_limit(const Rate& rate, Millis time_zone);

/** A number of requests at once. */
Limit concurrency_limit(Amount slots);

/** The limit of reservations for requests in flight, which is none of its own. */
Limit reservation_limit();

/** The limit of the counts to report to other nodes, which is none either. */
Limit ledger_limit();

/** The limit of what a sharer has, of slots or of a rate, which is none either: its part depends on
 * the others. */
Limit sharer_limit(bool of_slots);

/** A limit with what all algorithms take of a rate. */
Limit basic_limit(Algorithm algorithm, const Rate& rate, Amount capacity);

/** True if the limit's period and time zone are in their ranges, and agree with its length. */
bool has_sound_period(const Limit& limit);

/** True if the numbers by which the limit refills are in their ranges, and agree. */
bool has_sound_refill(const Limit& limit);

/** The reason why windows refuse a rate whose number is not whole, such as 0.5r/s. */
constexpr const char* kNotWhole =
    "a window counts a whole number: name a longer period, such as 1r/2s for 0.5r/s";

/**
 * The limit for a rate and an algorithm other than concurrency.
 * Returns nullptr, or a static text that says why that algorithm cannot have that rate.
 */
const char* make_limit(Algorithm algorithm, const Rate& rate, Amount burst, Millis time_zone,
                       Limit* limit);

/**
 * True if decisions can be calculated by a limit whose bytes come from a file: every number is in
 * its range, and those that follow from others agree with them.
 */
bool is_sound(const Limit& limit);

}  // namespace ai_limit
