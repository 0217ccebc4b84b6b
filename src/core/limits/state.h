#pragma once

// The entry in shared memory for one key of one policy. All states begin with the same head, so
// that each entry names its policy. They use fixed-width integers only. Another layout needs
// another kLayoutVersion (zone.h).

#include <cstdint>
#include <type_traits>

namespace ai_limit {

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
    uint64_t share : 40, asked_at : 24;  // when Redis was asked last, in 256 milliseconds
    uint64_t due_at;  // milliseconds of the Redis clock: a worker reports it then; 0: none will
    uint64_t is_urgent : 1;    // it is being reported before that
    uint64_t asked : 40;       // of Redis, which has not answered
    uint64_t touched_at : 23;  // when it last counted, in seconds
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
};

static_assert(sizeof(StatePair) == kSmallStateBytes);
static_assert(sizeof(TokenBucketState) == kSmallStateBytes);
static_assert(sizeof(FixedWindowState) == kSmallStateBytes);
static_assert(sizeof(ConcurrencyState) == kSmallStateBytes);
static_assert(sizeof(SlidingWindowState) == kWideStateBytes);
static_assert(sizeof(LedgerState) == kWideStateBytes);
static_assert(sizeof(State) == kWideStateBytes && std::is_trivially_copyable_v<State>);

}  // namespace ai_limit
