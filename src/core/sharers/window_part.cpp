#include "core/sharers/window_part.h"

#include <algorithm>

#include "core/limits/fixed_window.h"

namespace ai_limit {

namespace {

constexpr unsigned kWindowShift = 40;
constexpr uint64_t kUsedMask = (uint64_t{1} << kWindowShift) - 1;
constexpr uint32_t kWindowMask = (1 << 24) - 1;

/** The names of the present window and of the one before it, 24 bits of each. */
struct WindowNames {
    uint32_t present;
    uint32_t before;
};

WindowNames windows_at(const Limit& limit, Now now) {
    if (!is_calendar(limit.algorithm)) {
        const auto number = static_cast<uint32_t>(now.monotonic / limit.period_length);
        return {number & kWindowMask, (number - 1) & kWindowMask};
    }
    const auto start_at = [&limit](Millis wall) {
        return fixed_window::window_at(limit.period, limit.time_zone, wall).start;
    };
    const uint32_t start = start_at(now.wall);
    return {start & kWindowMask, start_at(Millis{start} * 1000 - 1) & kWindowMask};
}

uint64_t used_before(const SharerState& state) {
    return state.low | uint64_t{state.high} << 24;
}

void note_before(uint64_t used, uint64_t asked, bool knows, SharerState* state) {
    state->low = used & 0xffffff;
    state->high = used >> 24 & 0xffff;
    state->most_asked = asked & kUsedMask;
    state->knows_before = knows;
}

}  // namespace

void enter_window(const Limit& limit, Now now, SharerState* state) {
    const WindowNames names = windows_at(limit, now);
    const uint64_t window = state->used >> kWindowShift;
    if (state->weight != 0 && window == names.present) {
        return;
    }
    if (state->weight != 0 && window == names.before) {
        note_before(state->used & kUsedMask, state->asked, true, state);
    } else {
        note_before(0, 0, false, state);
    }
    state->used = uint64_t{names.present} << kWindowShift;
    state->asked = 0;
}

Amount used_in_window(const Limit& limit, const SharerState& state) {
    __extension__ typedef unsigned __int128 Wide;
    const Amount used = state.used & kUsedMask;
    if (is_calendar(limit.algorithm)) {
        return used;
    }
    const auto length = static_cast<uint64_t>(limit.period_length);
    const uint64_t left = length - static_cast<uint64_t>(state.at) % length;
    return used + static_cast<Amount>(Wide{used_before(state)} * left / length);
}

void use_in_window(Amount charged, Amount used, SharerState* state) {
    const Amount before = (state->used & kUsedMask) + std::min(used, kMaxAmount);
    const Amount after = std::min(before - std::min(before, charged), kMaxAmount);
    state->used = (state->used & ~kUsedMask) | after;
}

Amount need_in_window(const Limit& limit, const SharerState& state, Amount capacity) {
    if (!state.knows_before) {
        return capacity;
    }
    const Amount asked = std::max<Amount>(state.asked, state.most_asked);
    // A sliding window gives back what is used up to an eighth of a period late.
    const Amount late = is_calendar(limit.algorithm) ? 0 : asked / 8 + 1;
    return std::min(asked + late, capacity);
}

uint32_t slices_of_window(const Limit& limit, Now now) {
    if (!is_calendar(limit.algorithm)) {
        return kActivitySlices + 1;
    }
    const fixed_window::Window window =
        fixed_window::window_at(limit.period, limit.time_zone, now.wall);
    const Millis since = std::max<Millis>(now.wall - Millis{window.start} * 1000, 0);
    const uint32_t began_in = slice_of(limit, std::max<Millis>(now.monotonic - since, 0));
    const uint32_t passed = (slice_of(limit, now.monotonic) - began_in) & kWindowMask;
    return std::min(passed, kActivitySlices + 1);
}

}  // namespace ai_limit
