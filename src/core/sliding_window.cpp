#include "core/sliding_window.h"

namespace ai_limit::sliding_window {

namespace {

constexpr uint32_t kSlots = kSubWindows + 1;

Millis length_of_sub_window(uint32_t period_seconds) {
    return Millis{period_seconds} * 1000 / kSubWindows;
}

/** Moves the newest sub-window to number `newest`, which is later, and empties those that come in.
 */
void move_to(SlidingWindowState* state, uint64_t newest) {
    uint64_t steps = newest - state->newest;
    for (uint64_t i = 1; i <= steps && i <= kSlots; ++i) {
        state->used[(state->newest + i) % kSlots] = 0;
    }
    state->newest = newest;
}

/**
 * Counts what was used under another period anew, each sub-window as if all of it had been used at
 * its end: that may hold some of it back for longer, but never lets too much through.
 */
void change_period(SlidingWindowState* state, uint32_t period_seconds, Millis now) {
    SlidingWindowState old = *state;
    Millis old_length = length_of_sub_window(old.period_seconds);
    Millis length = length_of_sub_window(period_seconds);
    uint64_t newest = static_cast<uint64_t>(now / length);
    state->period_seconds = period_seconds;
    state->newest = newest;
    for (uint32_t& slot : state->used) {
        slot = 0;
    }
    for (uint64_t back = 0; back < kSlots && back <= old.newest; ++back) {
        uint64_t number = old.newest - back;
        Millis end = static_cast<Millis>(number + 1) * old_length - 1;
        uint64_t moved = static_cast<uint64_t>((end < now ? end : now) / length);
        uint32_t count = old.used[number % kSlots];
        if (count == 0 || moved + kSubWindows < newest) {
            continue;
        }
        uint32_t* slot = &state->used[moved % kSlots];
        *slot = count > UINT32_MAX - *slot ? UINT32_MAX : *slot + count;
    }
}

}  // namespace

void advance(const Limit& limit, SlidingWindowState* state, Millis now) {
    uint32_t period_seconds = static_cast<uint32_t>(limit.period_length / 1000);
    if (state->period_seconds != period_seconds) {
        change_period(state, period_seconds, now);
        return;
    }
    uint64_t present = static_cast<uint64_t>(now / length_of_sub_window(period_seconds));
    if (present > state->newest) {
        move_to(state, present);
    }
}

Amount used(const SlidingWindowState& state) {
    Amount sum = 0;
    for (uint32_t count : state.used) {
        sum += count;
    }
    return sum;
}

void add(SlidingWindowState* state, Amount cost) {
    state->used[state->newest % kSlots] += static_cast<uint32_t>(cost);
}

void add_any(SlidingWindowState* state, Amount cost) {
    uint32_t* newest = &state->used[state->newest % kSlots];
    Amount sum = *newest + cost;
    *newest = sum < UINT32_MAX ? static_cast<uint32_t>(sum) : UINT32_MAX;
}

void move_clock(SlidingWindowState* state, Millis from, Millis to) {
    Millis length = length_of_sub_window(state->period_seconds);
    if (length == 0) {
        return;
    }
    // Sub-windows of the other clock begin elsewhere: each becomes the later of those that it is
    // parts of. A clock that has just begun has none before its zero, which then counts for them.
    Millis apart = to - from;
    Millis steps = apart / length + (apart % length > 0 ? 1 : 0);
    SlidingWindowState old = *state;
    Millis newest = static_cast<Millis>(old.newest) + steps;
    state->newest = newest > 0 ? static_cast<uint64_t>(newest) : 0;
    for (uint32_t& slot : state->used) {
        slot = 0;
    }
    for (uint64_t back = 0; back < kSlots && back <= old.newest; ++back) {
        Millis number = newest - static_cast<Millis>(back);
        uint32_t* slot = &state->used[number > 0 ? static_cast<uint64_t>(number) % kSlots : 0];
        Amount sum = Amount{*slot} + old.used[(old.newest - back) % kSlots];
        *slot = sum < UINT32_MAX ? static_cast<uint32_t>(sum) : UINT32_MAX;
    }
}

Millis until_back(const SlidingWindowState& state, Amount amount, Millis now) {
    if (amount == 0) {
        return 0;
    }
    Millis length = length_of_sub_window(state.period_seconds);
    Amount sum = 0;
    for (uint64_t back = kSlots; back-- > 0;) {
        uint64_t number = state.newest - back;
        if (back > state.newest) {
            continue;
        }
        sum += state.used[number % kSlots];
        if (sum >= amount) {
            return static_cast<Millis>(number + kSlots) * length - now;
        }
    }
    return 0;
}

}  // namespace ai_limit::sliding_window
