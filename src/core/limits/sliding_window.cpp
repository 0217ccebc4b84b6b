#include "core/limits/sliding_window.h"

namespace ai_limit::sliding_window {

namespace {

constexpr uint32_t kSlots = kSubWindows + 1;

constexpr Millis length_of_sub_window(uint32_t period_seconds) {
    return Millis{period_seconds} * (1000 / kSubWindows);
}
static_assert(1000 % kSubWindows == 0);

Millis last_charge(const SlidingWindowState& state) {
    return static_cast<Millis>(state.last_charge);
}

/** The number of the sub-window of a time, which is not negative; number n lies in used[n % 9]. */
uint64_t number_at(Millis time, Millis length) {
    return static_cast<uint64_t>(time) / static_cast<uint64_t>(length);
}

void empty(SlidingWindowState* state) {
    for (uint32_t& slot : state->used) {
        slot = 0;
    }
}

/** Empties the slots of all sub-windows that have left, and of those that have come in. */
void age(SlidingWindowState* state, Millis now) {
    Millis gone = now - last_charge(*state);
    Millis length = length_of_sub_window(state->period_seconds);
    if (gone >= length * kSubWindows) {
        empty(state);
    } else if (gone > 0) {
        uint64_t number = number_at(last_charge(*state), length);
        // From the beginning of that sub-window until now.
        Millis into = last_charge(*state) - static_cast<Millis>(number) * length + gone;
        for (; into >= length; into -= length) {
            state->used[++number % kSlots] = 0;
        }
    }
}

void add_to_slot(uint32_t* slot, Amount amount) {
    Amount sum = *slot + amount;
    *slot = sum < UINT32_MAX ? static_cast<uint32_t>(sum) : UINT32_MAX;
}

/** The slot of a charge at this moment. A clock that has stepped back adds to the newest. */
uint32_t* slot_for_charge(SlidingWindowState* state, Millis now) {
    Millis at = now > last_charge(*state) ? now : last_charge(*state);
    state->last_charge = static_cast<uint64_t>(at);
    return &state->used[number_at(at, length_of_sub_window(state->period_seconds)) % kSlots];
}

/**
 * Counts what was used under another period anew, each sub-window as if all of it had been used at
 * its end: that may hold some of it back for longer, but never lets too much through.
 */
void change_period(SlidingWindowState* state, uint32_t period_seconds, Millis now) {
    SlidingWindowState old = *state;
    Millis old_length = length_of_sub_window(old.period_seconds);
    Millis length = length_of_sub_window(period_seconds);
    uint64_t old_newest = old_length != 0 ? number_at(last_charge(old), old_length) : 0;
    uint64_t present = number_at(now, length);
    state->period_seconds = period_seconds;
    state->last_charge = static_cast<uint64_t>(last_charge(old) < now ? last_charge(old) : now);
    empty(state);
    for (uint64_t back = 0; back < kSlots && back <= old_newest; ++back) {
        uint64_t number = old_newest - back;
        Millis end = static_cast<Millis>(number + 1) * old_length - 1;
        end = end < last_charge(*state) ? end : last_charge(*state);
        uint32_t count = old.used[number % kSlots];
        if (count == 0 || number_at(end, length) + kSubWindows < present) {
            continue;
        }
        add_to_slot(&state->used[number_at(end, length) % kSlots], count);
    }
}

}  // namespace

void advance(const Limit& limit, SlidingWindowState* state, Millis now) {
    uint32_t period_seconds = static_cast<uint32_t>(limit.period_length / 1000);
    if (state->period_seconds != period_seconds) {
        change_period(state, period_seconds, now);
    }
    age(state, now);
}

Amount used(const SlidingWindowState& state) {
    Amount sum = 0;
    for (uint32_t count : state.used) {
        sum += count;
    }
    return sum;
}

void add(SlidingWindowState* state, Amount cost, Millis now) {
    if (cost != 0) {
        *slot_for_charge(state, now) += static_cast<uint32_t>(cost);
    }
}

void add_any(SlidingWindowState* state, Amount cost, Millis now) {
    age(state, now);
    if (cost != 0) {
        add_to_slot(slot_for_charge(state, now), cost);
    }
}

void move_clock(SlidingWindowState* state, Millis from, Millis to) {
    Millis length = length_of_sub_window(state->period_seconds);
    if (length == 0) {
        return;
    }
    // Sub-windows of the other clock begin elsewhere: each becomes the later of those that it is
    // parts of, but none a later one than that of the last charge. A clock that has just begun has
    // none before its zero, which then counts for them.
    Millis apart = to - from;
    Millis steps = apart / length + (apart % length > 0 ? 1 : 0);
    SlidingWindowState old = *state;
    Millis moved = last_charge(old) + apart;
    state->last_charge = static_cast<uint64_t>(moved > 0 ? moved : 0);
    empty(state);
    Millis newest = static_cast<Millis>(number_at(last_charge(*state), length));
    uint64_t old_newest = number_at(last_charge(old), length);
    for (uint64_t back = 0; back < kSlots && back <= old_newest; ++back) {
        Millis number = static_cast<Millis>(old_newest - back) + steps;
        number = number < 0 ? 0 : number < newest ? number : newest;
        add_to_slot(&state->used[static_cast<uint64_t>(number) % kSlots],
                    old.used[(old_newest - back) % kSlots]);
    }
}

Millis until_back(const SlidingWindowState& state, Amount amount, Millis now) {
    Millis length = length_of_sub_window(state.period_seconds);
    if (amount == 0 || length == 0) {
        return 0;
    }
    Millis period = length * kSubWindows;
    Millis wait = last_charge(state) + period - now;
    uint64_t newest = number_at(last_charge(state), length);
    Amount sum = 0;
    for (uint64_t back = newest < kSubWindows ? newest : kSubWindows; back > 0; --back) {
        sum += state.used[(newest - back) % kSlots];
        if (sum >= amount) {
            wait = static_cast<Millis>(newest - back + kSlots) * length - now;
            break;
        }
    }
    return wait < period ? wait : period;
}

namespace {

/** The clock by which the limit counts. */
Millis clock_of(const Limit& limit, Now now) {
    return limit.by_wall ? now.wall : now.monotonic;
}

const char* make_limit(const Rate& rate, Amount, Millis, Limit* limit) {
    if (!rate.whole) {
        return kNotWhole;
    }
    if (rate.quota > kMaxSlidingQuota) {
        return facts_of(rate.measure).in_millionths
                   ? "a sliding_window holds at most 4294.967295usd: use fixed_window or "
                     "token_bucket"
                   : "a sliding_window holds at most 4294967295: use fixed_window or token_bucket";
    }
    *limit = sliding_window_limit(rate);
    return nullptr;
}

bool is_sound_limit(const Limit& limit) {
    return has_sound_period(limit) && limit.capacity <= kMaxSlidingQuota;
}

bool is_sound_state(const State& state) {
    constexpr uint64_t kMaxTime = uint64_t{1} << 52;
    const SlidingWindowState& sliding = state.sliding_window;
    return sliding.period_seconds != 0 && sliding.period_seconds <= kMaxPeriod / 1000 &&
           sliding.last_charge <= kMaxTime;
}

void advance_state(const Limit& limit, State* state, Now now) {
    advance(limit, &state->sliding_window, clock_of(limit, now));
}

Millis until_state_is_back(const Limit& limit, const State& state, Amount amount, Now now) {
    return until_back(state.sliding_window, amount, clock_of(limit, now));
}

Millis window(const Limit& limit, const State&) {
    return limit.period_length;
}

bool fits_entry(const Limit& limit, const State& state) {
    return Millis{state.sliding_window.period_seconds} * 1000 == limit.period_length;
}

void move_state_clock(const Limit&, State* state, Millis from, Millis to) {
    move_clock(&state->sliding_window, from, to);
}

}  // namespace

const AlgorithmRow kRow = {make_limit,          is_sound_limit, is_sound_state, advance_state,
                           until_state_is_back, window,         fits_entry,     move_state_clock};

}  // namespace ai_limit::sliding_window
