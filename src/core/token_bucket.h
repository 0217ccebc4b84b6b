#pragma once

#include "core/limit.h"
#include "core/state.h"

namespace ai_limit::token_bucket {

// In any interval of length T at most capacity + T * rate passes. Exact: what has come back but is
// not a whole one yet is kept as a fraction, so nothing is lost however often the bucket is looked
// at.

/**
 * `used` of the bucket are missing at the time `at` (monotonic milliseconds, 38 bits: 8 years of
 * uptime), but for `remainder` / refill_millis of one, which has come back already; that was under
 * the rate of number `rate`, and counts under no other.
 */
struct Level {
    Amount used;
    Millis at;
    uint64_t remainder;
    uint32_t rate;
};

/** Bits of `at` that share a word with the remainder. */
constexpr unsigned kLowTimeBits = 28;

inline Level unpack(const TokenBucketState& state) {
    return {state.used, static_cast<Millis>(uint64_t{state.at_high} << kLowTimeBits | state.at_low),
            state.remainder, static_cast<uint32_t>(state.rate)};
}

/** Writes all fields; of the head, the policy's number. */
inline void pack(const Level& level, uint32_t policy, State* state) {
    uint64_t at = static_cast<uint64_t>(level.at);
    state->words[0] = (policy & 0xff) | level.used << kUsedShift | uint64_t{level.rate} << 50 |
                      at >> kLowTimeBits << 54;
    state->words[1] = level.remainder | at << 36;
}

/** What has come back of the next one, in parts of 1 / refill_millis. */
inline uint64_t fraction_of(const Limit& limit, const Level& level) {
    bool same = level.rate == limit.rate_number && limit.rate_number != kNoRateNumber;
    return same && level.remainder < limit.refill_millis ? level.remainder : 0;
}

/** The level after `elapsed` milliseconds, for times and rates whose product exceeds 64 bits. */
Level after_long(const Limit& limit, Level level, uint64_t elapsed);

/** The level after `elapsed` milliseconds have given back their part. */
inline Level after(const Limit& limit, Level level, uint64_t elapsed) {
    uint64_t parts;
    if (__builtin_mul_overflow(elapsed, limit.refill_amount, &parts) ||
        __builtin_add_overflow(parts, fraction_of(limit, level), &parts)) {
        return after_long(limit, level, elapsed);
    }
    uint64_t whole = parts / limit.refill_millis;
    if (whole >= level.used) {
        return {0, level.at, 0, limit.rate_number};
    }
    return {level.used - whole, level.at, parts % limit.refill_millis, limit.rate_number};
}

/** The level at `now`. A clock that stepped back gives nothing back. */
inline Level advance(const Limit& limit, Level level, Millis now) {
    if (now <= level.at) {
        return level;
    }
    Millis elapsed = now - level.at;
    if (elapsed >= limit.fills_in && level.used <= limit.capacity) {
        return {0, now, 0, limit.rate_number};
    }
    level = after(limit, level, static_cast<uint64_t>(elapsed));
    level.at = now;
    return level;
}

/** The same as until_back() for numbers whose products exceed 64 bits. */
Millis until_back_long(const Limit& limit, const Level& level, Amount amount, Millis now);

/** Milliseconds from `now` until `amount` of what is used have come back, rounded up. */
inline Millis until_back(const Limit& limit, const Level& level, Amount amount, Millis now) {
    uint64_t parts;
    if (amount == 0) {
        return 0;
    }
    if (level.at > now || limit.refill_amount >> 62 != 0 ||
        __builtin_mul_overflow(amount, limit.refill_millis, &parts) || parts >> 62 != 0) {
        return until_back_long(limit, level, amount, now);
    }
    return static_cast<Millis>((parts - fraction_of(limit, level) + limit.refill_amount - 1) /
                               limit.refill_amount);
}

}  // namespace ai_limit::token_bucket
