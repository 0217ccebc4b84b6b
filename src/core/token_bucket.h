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

inline Level unpack(const StatePair& pair) {
    constexpr uint64_t kAmountMask = (uint64_t{1} << 40) - 1;
    constexpr uint64_t kRemainderMask = (uint64_t{1} << 36) - 1;
    return {pair.first >> kUsedShift & kAmountMask,
            static_cast<Millis>(pair.first >> 54 << kLowTimeBits | pair.second >> 36),
            pair.second & kRemainderMask, static_cast<uint32_t>(pair.first >> 50 & 15)};
}

/** All fields; of the head, the policy's number and whether it is spent. */
inline StatePair pack(const Level& level, uint32_t policy, bool spent) {
    uint64_t at = static_cast<uint64_t>(level.at);
    return {(policy & 0xff) | uint64_t{spent} << kSpentShift | level.used << kUsedShift |
                uint64_t{level.rate} << 50 | at >> kLowTimeBits << 54,
            level.remainder | at << 36};
}

/** What has come back of the next one, in parts of 1 / refill_millis. */
inline uint64_t fraction_of(const Limit& limit, const Level& level) {
    bool same = level.rate == limit.rate_number && limit.rate_number != kNoRateNumber;
    return same && level.remainder < limit.refill_millis ? level.remainder : 0;
}

/**
 * Brings the level up to `now`; a clock that stepped back gives nothing back. False, and the level
 * as it was, where the time and the rate multiply to more than 64 bits.
 */
inline bool advance_quickly(const Limit& limit, Level* level, Millis now) {
    Millis at = level->at > now ? level->at : now;
    Millis elapsed = at - level->at;
    uint64_t used = 0;
    uint64_t remainder = 0;
    if (elapsed < limit.fills_in || level->used > limit.capacity) {
        uint64_t parts;
        if (__builtin_mul_overflow(static_cast<uint64_t>(elapsed), limit.refill_amount, &parts) ||
            __builtin_add_overflow(parts, fraction_of(limit, *level), &parts)) {
            return false;
        }
        uint64_t whole = parts / limit.refill_millis;
        // A mask instead of a branch: nobody can predict which of the keys have come back.
        uint64_t some_is_left = -uint64_t{whole < level->used};
        used = (level->used - whole) & some_is_left;
        remainder = parts % limit.refill_millis & some_is_left;
    }
    *level = {used, at, remainder, limit.rate_number};
    return true;
}

/** The level at `now`, whatever the numbers. */
Level advance_slowly(const Limit& limit, Level level, Millis now);

/** The level at `now`. A clock that stepped back gives nothing back. */
inline Level advance(const Limit& limit, Level level, Millis now) {
    return advance_quickly(limit, &level, now) ? level : advance_slowly(limit, level, now);
}

/** The same as until_back() for numbers whose products exceed 64 bits. */
Millis until_back_long(const Limit& limit, Level level, Amount amount, Millis now);

/** Milliseconds from `now` until `amount` of what is used have come back, rounded up. */
inline Millis until_back(const Limit& limit, Level level, Amount amount, Millis now) {
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
