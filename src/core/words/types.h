#pragma once

// The words that everything in core/ speaks. No nginx, no clock, no heap: time is an argument.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/words/units.h"

namespace ai_limit {

/** Milliseconds: a point in time or a length, as the name of the variable says. */
using Millis = int64_t;

/** Requests, LLM tokens, requests in flight or millionths of a dollar. At most kMaxAmount. */
using Amount = uint64_t;

/** Every quota, burst and cost is at most this (a thousand billion), so that 128 bits hold all
 * products. */
constexpr Amount kMaxAmount = 1'000'000'000'000;

/** A wait that never ends: the request can never fit the limit. */
constexpr Millis kNever = INT64_MAX;

/** Both clocks at one moment: monotonic for rates, wall (since the epoch, UTC) for calendar
 * windows. */
struct Now {
    Millis monotonic;
    Millis wall;
};

/** The state of one policy after a decision, in short; see Description. */
struct Standing {
    Amount limit;
    Amount remaining;
    Millis reset;
    Measure measure = Measure::kRequests;
};

/**
 * The state of one policy after a decision: everything that headers, bodies, variables and log
 * lines show. The texts belong to the configuration.
 */
struct Description {
    std::string_view policy;
    Measure measure;
    Period period;     // of the rate; meaningless for kInFlight
    Amount limit;      // what can be had at once at most: burst, quota or slots
    Amount remaining;  // never above limit
    Amount requested;  // what this request costs
    Millis window;     // in which `limit` comes back entirely; 0 for kInFlight
    Millis reset;      // until `remaining` is `limit` again
    Millis next;       // until more than `remaining` can be had; 0 if nothing is used
    Millis wait;       // until this request would fit: 0 if it did, kNever if it never will
    bool refused;
    bool undecided = false;  // refused because nobody can decide; only `wait` says something then
    bool unpriced = false;   // refused because there is no price to charge the request by
    bool is_burst = false;   // `limit` is a burst, which comes back in another time than the period

    constexpr operator Standing() const { return {limit, remaining, reset, measure}; }
};

}  // namespace ai_limit
