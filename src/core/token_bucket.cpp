#include "core/token_bucket.h"

namespace ai_limit::token_bucket {

namespace {

__extension__ typedef unsigned __int128 Wide;

constexpr unsigned kLowBits = 28;
constexpr uint64_t kLowMask = (uint64_t{1} << kLowBits) - 1;

Millis time_of(const TokenBucketState& state) {
    return static_cast<Millis>(uint64_t{state.at_high} << kLowBits | state.at_low);
}

void set_time(TokenBucketState* state, Millis at) {
    state->at_high = static_cast<uint64_t>(at) >> kLowBits;
    state->at_low = static_cast<uint64_t>(at) & kLowMask;
}

/** What is left of one that is coming back. A fraction kept under another rate is cut to less than one. */
uint64_t fraction_of(const Limit& limit, const TokenBucketState& state) {
    uint64_t remainder = state.remainder;
    return remainder < limit.refill_millis ? remainder : limit.refill_millis - 1;
}

void give_back(const Limit& limit, TokenBucketState* state, Millis elapsed) {
    Wide parts = Wide{static_cast<uint64_t>(elapsed)} * limit.refill_amount +
                 fraction_of(limit, *state);
    Wide whole;
    if (static_cast<uint64_t>(parts >> 64) == 0) {
        whole = static_cast<uint64_t>(parts) / limit.refill_millis;
    } else {
        whole = parts / limit.refill_millis;
    }
    if (whole >= state->used) {
        state->used = 0;
        state->remainder = 0;
    } else {
        state->used -= static_cast<uint64_t>(whole);
        state->remainder = static_cast<uint64_t>(parts - whole * limit.refill_millis);
    }
}

}  // namespace

void advance(const Limit& limit, TokenBucketState* state, Millis now) {
    Millis at = time_of(*state);
    if (now <= at) {
        return;
    }
    if (now - at >= limit.fills_in && state->used <= limit.capacity) {
        state->used = 0;
        state->remainder = 0;
    } else if (state->used != 0) {
        give_back(limit, state, now - at);
    }
    set_time(state, now);
}

Millis until_back(const Limit& limit, const TokenBucketState& state, Amount amount, Millis now) {
    if (amount == 0) {
        return 0;
    }
    Wide parts = Wide{amount} * limit.refill_millis - fraction_of(limit, state);
    Wide millis = (parts + limit.refill_amount - 1) / limit.refill_amount;
    constexpr Wide kLongest = Wide{1} << 61;
    Millis from_state = static_cast<Millis>(millis < kLongest ? millis : kLongest);
    Millis at = time_of(state);
    return at > now ? from_state + (at - now) : from_state;
}

}  // namespace ai_limit::token_bucket
