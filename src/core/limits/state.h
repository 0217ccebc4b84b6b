#pragma once

// The algorithms, and the entry in shared memory for one key of one policy. All states begin with
// the same head, so that each entry names its policy. They use fixed-width integers only. Another
// layout needs another kLayoutVersion (zone.h).

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <type_traits>

namespace ai_limit {

/**
 * The algorithms. Some are no policy's own: kReservation counts a token policy's reservations for
 * requests in flight, kLedger counts what this node has passed of a policy in Redis (ledger.h), and
 * the last two count what one sharer has of a key that several share (sharers/part.h).
 */
enum class Algorithm : uint8_t {
    kTokenBucket,
    kSlidingWindow,
    kFixedWindow,
    kConcurrency,
    kReservation,
    kLedger,
    kSharer,         // of a rate
    kSharerOfSlots,  // zones and state files hold these numbers: the next one stands behind it
    kLast = kSharerOfSlots
};

/** The constants of an algorithm. Its functions are an AlgorithmRow (algorithm_row.h). */
struct AlgorithmFacts {
    std::string_view name;  // in the API; empty if no policy can have it
    Algorithm algorithm;
    bool is_chosen;    // by algorithm= and its name
    bool is_wide;      // its states take kWideStateBytes, else kSmallStateBytes
    bool has_flights;  // each request that counts has a record until it ends (flights.h)
    bool has_window;   // it counts in windows of the limit's period (period_entries.h)
    bool is_calendar;  // these begin by the calendar; its state is a FixedWindowState
};

constexpr AlgorithmFacts kAlgorithmFacts[] = {
    // name, algorithm, is_chosen, is_wide, has_flights, has_window, is_calendar
    {"token_bucket", Algorithm::kTokenBucket, true, false, false, false, false},
    {"sliding_window", Algorithm::kSlidingWindow, true, true, false, true, false},
    {"fixed_window", Algorithm::kFixedWindow, true, false, false, true, true},
    {"concurrency", Algorithm::kConcurrency, false, false, true, false, false},
    {"", Algorithm::kReservation, false, false, true, false, false},
    {"", Algorithm::kLedger, false, true, false, false, false},
    {"", Algorithm::kSharer, false, true, false, false, false},
    {"", Algorithm::kSharerOfSlots, false, true, true, false, false},
};

constexpr size_t kAlgorithms = std::size(kAlgorithmFacts);

/** The algorithms of which a fact is true, as bits. */
constexpr uint32_t algorithms_with(bool AlgorithmFacts::*fact) {
    uint32_t bits = 0;
    for (const AlgorithmFacts& facts : kAlgorithmFacts) {
        bits |= uint32_t{facts.*fact} << static_cast<unsigned>(facts.algorithm);
    }
    return bits;
}

constexpr bool is_in_order() {
    for (size_t i = 0; i < kAlgorithms; ++i) {
        if (static_cast<size_t>(kAlgorithmFacts[i].algorithm) != i) {
            return false;
        }
    }
    return kAlgorithmFacts[kAlgorithms - 1].algorithm == Algorithm::kLast;
}
static_assert(is_in_order(), "each algorithm has its row, in the order of their numbers");

/** Returns whether the fact is true of the algorithm, without a look into memory. */
template <bool AlgorithmFacts::*kFact>
constexpr bool has_fact(Algorithm algorithm) {
    constexpr uint32_t kWith = algorithms_with(kFact);
    return (kWith >> static_cast<unsigned>(algorithm) & 1) != 0;
}

/** The same as the fact. Every request asks this, and a comparison costs less than the bits. */
constexpr bool is_wide(Algorithm algorithm) {
    return algorithm == Algorithm::kSlidingWindow || algorithm >= Algorithm::kLedger;
}

constexpr bool has_right_widths() {
    for (const AlgorithmFacts& facts : kAlgorithmFacts) {
        if (is_wide(facts.algorithm) != facts.is_wide) {
            return false;
        }
    }
    return true;
}
static_assert(has_right_widths());

constexpr bool has_flights(Algorithm algorithm) {
    return has_fact<&AlgorithmFacts::has_flights>(algorithm);
}

/** True if a state counts one sharer of a key. */
constexpr bool is_of_sharer(Algorithm algorithm) {
    return algorithm >= Algorithm::kSharer;
}

/** True if entries outlast nginx. Requests in flight end with it, and what this node has not
 * reported, or whom it has served, belongs to this life of the zone. */
constexpr bool outlasts_nginx(Algorithm algorithm) {
    return has_fact<&AlgorithmFacts::is_chosen>(algorithm);
}

constexpr bool has_window(Algorithm algorithm) {
    return has_fact<&AlgorithmFacts::has_window>(algorithm);
}

constexpr bool is_calendar(Algorithm algorithm) {
    return has_fact<&AlgorithmFacts::is_calendar>(algorithm);
}

/** Returns the algorithm's name in the API. */
constexpr std::string_view name_of_algorithm(Algorithm algorithm) {
    return kAlgorithmFacts[static_cast<size_t>(algorithm)].name;
}

// The head: which policy (its number in the zone), whether nothing more was to be had when this was
// last written, whether the last request was refused.

/** A token bucket, packed; token_bucket.h explains its fields. */
struct TokenBucketState {
    uint64_t policy : 8, spent : 1, refused : 1, used : 40, rate : 4, at_high : 10;
    uint64_t fraction : 36, at_low : 28;
};

/**
 * `used` in the window from `start` to `end`, in seconds since the epoch, for the last time when so
 * many 16384ths of it had gone by.
 */
struct FixedWindowState {
    uint64_t policy : 8, spent : 1, refused : 1, used : 40, last_use : 14;
    uint32_t start;
    uint32_t end;
};

/** The number of requests in flight, or of tokens reserved for them. */
struct ConcurrencyState {
    uint64_t policy : 8, spent : 1, refused : 1, used : 40, reserved : 14;
    uint64_t likely_wait;  // milliseconds; only in the copy of a refusal, 0 in the zone
};

constexpr uint32_t kSubWindows = 8;

/**
 * Counts of the sub-window of the last charge, in milliseconds of the clock, and of the eight
 * before it; sub-window number n since the clock's zero lies in used[n % 9]. It is `period_seconds`
 * / 8 long.
 */
struct SlidingWindowState {
    uint64_t policy : 8, spent : 1, refused : 1, last_charge : 54;
    uint32_t period_seconds;
    uint32_t used[kSubWindows + 1];
};

/**
 * The count of this node for a key in this life of the ledger, how much of it the other nodes know,
 * and how far the node may go before it must report (ledger.h). No other ledger of this zone has
 * had the same `life`.
 */
struct LedgerState {
    uint64_t policy : 8, spent : 1, refused : 1, life : 54;
    uint64_t counted;
    uint64_t acknowledged;
    // `asked_until` is in 256 milliseconds of the node's clock: by then no answer is awaited.
    uint64_t share : 40, asked_until : 24;
    uint64_t due_at;  // milliseconds of the Redis clock: a worker reports it then; 0: none will
    uint64_t is_urgent : 1;    // it is being reported before that
    uint64_t asked : 40;       // of Redis, which has not answered
    uint64_t touched_at : 23;  // when it last counted, in seconds
};

/**
 * What one sharer of a key has of its part, and what it asks for (sharers/part.h). In a window,
 * `most_asked` is what it asked for in the window before, and `low` and `high` are what it used
 * there. With slots, `low` is how many of those in flight the key's sums count. `finish` is its
 * latest service (sharers/service.h), in two parts.
 */
struct SharerState {
    uint64_t policy : 8, spent : 1, refused : 1, slots : 40;  // slots in flight
    uint64_t weight : 14;                                     // 0: it has never asked
    uint64_t at : 40;  // when it asked last, in milliseconds of the monotonic clock
    uint64_t finish_low : 24;
    uint64_t need : 40;  // as the key's sums count it (activity.h)
    uint64_t finish_high : 24;
    uint64_t used;                  // of a rate: in 2^-20 of the limit's unit
    uint64_t asked : 40, low : 24;  // in its latest slice of time, or in its window
    uint64_t most_asked : 40, high : 16, knows_before : 1;
    uint64_t lasts : 5;  // what it used matters for 2^lasts seconds from `at` on; 0: not at all
    uint64_t unused : 2;
};

struct StateHead {
    uint64_t policy : 8, spent : 1, refused : 1, rest : 54;
};

/**
 * The positions of `spent` in the first word of every state, and of `used` in the first word of
 * every small one.
 */
constexpr unsigned kSpentShift = 8;
constexpr unsigned kUsedShift = 10;

constexpr uint32_t kSmallStateBytes = 16;
constexpr uint32_t kWideStateBytes = 48;

/** A small state as it is read and written at once. */
struct StatePair {
    uint64_t first;
    uint64_t second;
};

union State {
    uint64_t words[kWideStateBytes / 8];
    StatePair pair;
    StateHead head;
    TokenBucketState token_bucket;
    FixedWindowState fixed_window;
    ConcurrencyState concurrency;
    SlidingWindowState sliding_window;
    LedgerState ledger;
    SharerState sharer;
};

static_assert(sizeof(StatePair) == kSmallStateBytes);
static_assert(sizeof(TokenBucketState) == kSmallStateBytes);
static_assert(sizeof(FixedWindowState) == kSmallStateBytes);
static_assert(sizeof(ConcurrencyState) == kSmallStateBytes);
static_assert(sizeof(SlidingWindowState) == kWideStateBytes);
static_assert(sizeof(LedgerState) == kWideStateBytes);
static_assert(sizeof(SharerState) == kWideStateBytes);
static_assert(sizeof(State) == kWideStateBytes && std::is_trivially_copyable_v<State>);

}  // namespace ai_limit
