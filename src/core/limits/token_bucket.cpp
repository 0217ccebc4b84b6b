#include "core/limits/token_bucket.h"

namespace ai_limit::token_bucket {

namespace {

__extension__ typedef unsigned __int128 Wide;

}  // namespace

Level advance_slowly(const Limit& limit, Level level, Millis now) {
    uint64_t elapsed = static_cast<uint64_t>(now - level.at);
    Wide parts = Wide{elapsed} * limit.refill_amount + parts_of(limit, level);
    Wide whole = parts / limit.refill_millis;
    if (whole >= level.used) {
        return {0, now, 0, limit.rate_number};
    }
    return {level.used - static_cast<uint64_t>(whole), now,
            to_fraction(static_cast<uint64_t>(parts % limit.refill_millis), limit.refill_millis),
            limit.rate_number};
}

Millis until_back_long(const Limit& limit, Level level, Amount amount, Millis now) {
    Wide parts = Wide{amount} * limit.refill_millis - parts_of(limit, level);
    Wide millis = (parts + limit.refill_amount - 1) / limit.refill_amount;
    constexpr Wide kLongest = Wide{1} << 61;
    Millis from_level = static_cast<Millis>(millis < kLongest ? millis : kLongest);
    return level.at > now ? from_level + (level.at - now) : from_level;
}

namespace {

const char* make_limit(const Rate& rate, Amount burst, Millis, Limit* limit) {
    *limit = token_bucket_limit(rate, burst);
    return nullptr;
}

bool is_sound_limit(const Limit& limit) {
    return has_sound_period(limit) && has_sound_refill(limit);
}

bool is_sound_state(const State& state) {
    return unpack(state.pair).used <= kMaxAmount;
}

void advance_state(const Limit& limit, State* state, Now now) {
    StateHead head = state->head;
    state->pair = pack(advance(limit, unpack(state->pair), now.monotonic), head.policy, head.spent);
    state->head.refused = head.refused;
}

Millis until_state_is_back(const Limit& limit, const State& state, Amount amount, Now now) {
    return until_back(limit, unpack(state.pair), amount, now.monotonic);
}

Millis window(const Limit& limit, const State&) {
    return limit.fills_in;
}

bool fits_entry(const Limit& limit, const State& state) {
    return state.token_bucket.rate == limit.rate_number;
}

void move_clock(const Limit&, State* state, Millis, Millis to) {
    Level level = unpack(state->pair);
    level.at = to;
    state->pair = pack(level, state->head.policy, false);
}

}  // namespace

const AlgorithmRow kRow = {make_limit,          is_sound_limit, is_sound_state, advance_state,
                           until_state_is_back, window,         fits_entry,     move_clock};

}  // namespace ai_limit::token_bucket
