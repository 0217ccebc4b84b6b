#pragma once

#include "core/limits/algorithm_row.h"
#include "core/limits/limit.h"
#include "core/limits/state.h"

namespace ai_limit::token_bucket {

// In any interval of length T, at most capacity + T * rate passes. It is exact: a refilled part of
// a token is kept as a fraction, so nothing is lost however often the bucket is looked at.

/**
 * `used` tokens of the bucket are missing at the time `at` (monotonic milliseconds, 38 bits: 8
 * years of uptime), except `fraction` / 2^36 of one, which has come back already. `rate` is the
 * number of the rate that this was last calculated by.
 *
 * Under a rate, the refilled part is a multiple of 1 / refill_millis. Its binary fraction is
 * rounded up, from which the multiple can be found again: refill_millis is below 2^36. The same
 * rate therefore loses nothing, however many rates a key has. A change of the rate rounds down to a
 * multiple of the new one's, and gives at most 2^-36 too much.
 */
struct Level {
    Amount used;
    Millis at;
    uint64_t fraction;
    uint32_t rate;
};

constexpr unsigned kFractionBits = 36;
static_assert(kMaxRefillMillis == uint64_t{1} << kFractionBits);

/** Bits of `at` that share a word with the fraction. */
constexpr unsigned kLowTimeBits = 64 - kFractionBits;

/** `parts` / refill_millis of one, which is less than one, as a binary fraction, rounded up. */
inline uint64_t to_fraction(uint64_t parts, uint64_t refill_millis) {
    __extension__ typedef unsigned __int128 Wide;
    if (parts >> kLowTimeBits == 0) {
        return ((parts << kFractionBits) + refill_millis - 1) / refill_millis;
    }
    return static_cast<uint64_t>(((Wide{parts} << kFractionBits) + refill_millis - 1) /
                                 refill_millis);
}

inline Level unpack(const StatePair& pair) {
    constexpr uint64_t kAmountMask = (uint64_t{1} << 40) - 1;
    constexpr uint64_t kFractionMask = (uint64_t{1} << kFractionBits) - 1;
    return {pair.first >> kUsedShift & kAmountMask,
            static_cast<Millis>(pair.first >> 54 << kLowTimeBits | pair.second >> kFractionBits),
            pair.second & kFractionMask, static_cast<uint32_t>(pair.first >> 50 & 15)};
}

/** Packs all fields. The head gets the policy's number and whether it is spent. */
inline StatePair pack(const Level& level, uint32_t policy, bool spent) {
    uint64_t at = static_cast<uint64_t>(level.at);
    return {(policy & 0xff) | uint64_t{spent} << kSpentShift | level.used << kUsedShift |
                uint64_t{level.rate} << 50 | at >> kLowTimeBits << 54,
            level.fraction | at << kFractionBits};
}

/**
 * Returns the refilled part of the next token, in units of 1 / refill_millis: less than
 * refill_millis.
 */
inline uint64_t parts_of(const Limit& limit, const Level& level) {
    __extension__ typedef unsigned __int128 Wide;
    return static_cast<uint64_t>(Wide{level.fraction} * limit.refill_millis >> kFractionBits);
}

/**
 * Brings the level up to `now`; a clock that stepped back gives nothing back. False, and the level
 * as it was, where the time and the rate multiply to more than 64 bits.
 */
inline bool advance_quickly(const Limit& limit, Level* level, Millis now) {
    Millis at = level->at > now ? level->at : now;
    Millis elapsed = at - level->at;
    uint64_t used = 0;
    uint64_t fraction = 0;
    if (elapsed < limit.fills_in || level->used > limit.capacity) {
        uint64_t parts;
        if (__builtin_mul_overflow(static_cast<uint64_t>(elapsed), limit.refill_amount, &parts) ||
            __builtin_add_overflow(parts, parts_of(limit, *level), &parts)) {
            return false;
        }
        uint64_t whole = parts / limit.refill_millis;
        // A mask instead of a branch: nobody can predict which of the keys have come back.
        uint64_t some_is_left = -uint64_t{whole < level->used};
        used = (level->used - whole) & some_is_left;
        fraction = to_fraction(parts % limit.refill_millis, limit.refill_millis) & some_is_left;
    }
    *level = {used, at, fraction, limit.rate_number};
    return true;
}

/** The level at `now`, whatever the numbers. */
Level advance_slowly(const Limit& limit, Level level, Millis now);

/** The level at `now`. A clock that stepped back gives nothing back. */
inline Level advance(const Limit& limit, Level level, Millis now) {
    return advance_quickly(limit, &level, now) ? level : advance_slowly(limit, level, now);
}

/** Does the work of until_back() for numbers whose products exceed 64 bits. */
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
    return static_cast<Millis>((parts - parts_of(limit, level) + limit.refill_amount - 1) /
                               limit.refill_amount);
}

extern const AlgorithmRow kRow;

}  // namespace ai_limit::token_bucket
