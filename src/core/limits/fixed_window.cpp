#include "core/limits/fixed_window.h"

namespace ai_limit::fixed_window {

namespace {

constexpr int64_t kSecondsPerDay = 24 * 3600;
constexpr int64_t kFirstMonday = 4 * kSecondsPerDay;  // 1970-01-05

int64_t floor_divide(int64_t a, int64_t b) {
    return a / b - (a % b < 0 ? 1 : 0);
}

/** Days from 1970-01-01 to the 1st of a month, months counted from January 1970 (proleptic
 * Gregorian). */
int64_t days_to_month(int64_t month) {
    // Years that begin in March put the leap day last, so that the days before a month follow one
    // line.
    int64_t shifted = month - 2;
    int64_t year = 1970 + floor_divide(shifted, 12);
    int64_t month_of_year = shifted - floor_divide(shifted, 12) * 12;
    int64_t day_of_year = (153 * month_of_year + 2) / 5;
    int64_t leap_days = floor_divide(year, 4) - floor_divide(year, 100) + floor_divide(year, 400);
    constexpr int64_t kFromYearZero = 719'468;  // 0000-03-01 to 1970-01-01
    return 365 * year + leap_days + day_of_year - kFromYearZero;
}

/** The month of a day, both counted from January 1970. */
int64_t month_of_day(int64_t day) {
    int64_t month = floor_divide(day * 400 * 12, 146'097);  // at most one off
    while (days_to_month(month) > day) {
        --month;
    }
    while (days_to_month(month + 1) <= day) {
        ++month;
    }
    return month;
}

Window clamp(int64_t start, int64_t end) {
    constexpr int64_t kLast = UINT32_MAX;
    start = start < 0 ? 0 : start > kLast ? kLast : start;
    end = end < 0 ? 0 : end > kLast ? kLast : end;
    return {static_cast<uint32_t>(start), static_cast<uint32_t>(end)};
}

}  // namespace

Window window_at(Period period, Millis time_zone, Millis wall) {
    int64_t east = time_zone / 1000;
    int64_t local = floor_divide(wall, 1000) + east;
    int64_t count = period.count;
    if (period.unit == PeriodUnit::kMonth) {
        int64_t first =
            floor_divide(month_of_day(floor_divide(local, kSecondsPerDay)), count) * count;
        return clamp(days_to_month(first) * kSecondsPerDay - east,
                     days_to_month(first + count) * kSecondsPerDay - east);
    }
    // Hours and shorter are aligned to the epoch itself, whatever the zone.
    bool by_calendar = period.unit >= PeriodUnit::kDay;
    int64_t origin = period.unit == PeriodUnit::kWeek ? kFirstMonday : 0;
    int64_t zone = by_calendar ? east : 0;
    int64_t length = length_of(period) / 1000;
    int64_t start = floor_divide(local - east + zone - origin, length) * length + origin - zone;
    return clamp(start, start + length);
}

void note_use(FixedWindowState* state, Millis wall) {
    Millis length = Millis{state->end - state->start} * 1000;
    Millis gone = wall - Millis{state->start} * 1000;
    gone = gone < 0 ? 0 : gone < length ? gone : length - 1;
    // A window is never empty. NOLINTNEXTLINE(clang-analyzer-core.DivideZero)
    state->last_use = static_cast<uint64_t>(gone * 16384 / length) & 16383;
}

Millis last_use(const FixedWindowState& state) {
    return Millis{state.end - state.start} * 1000 * state.last_use / 16384;
}

void advance(const Limit& limit, FixedWindowState* state, Millis wall) {
    if (wall >= Millis{state->start} * 1000 && wall < Millis{state->end} * 1000 &&
        Millis{state->end - state->start} * 1000 == limit.period_length &&
        limit.period.unit < PeriodUnit::kDay) {
        note_use(state, wall);
        return;  // the same window still: the most frequent case, without a division
    }
    Window present = window_at(limit.period, limit.time_zone, wall);
    if (state->start >= present.end && state->used != 0) {
        return;
    }
    if (state->end <= present.start) {
        state->used = 0;
    }
    state->start = present.start;
    state->end = present.end;
    note_use(state, wall);
}

Millis until_back(const FixedWindowState& state, Amount amount, Millis wall) {
    Millis left = Millis{state.end} * 1000 - wall;
    return amount == 0 || left < 0 ? 0 : left;
}

namespace {

const char* make_limit(const Rate& rate, Amount, Millis time_zone, Limit* limit) {
    if (!rate.whole) {
        return kNotWhole;
    }
    *limit = fixed_window_limit(rate, time_zone);
    return nullptr;
}

bool is_sound_state(const State& state) {
    constexpr int64_t kMaxSeconds = int64_t{372} * 24 * 3600;  // twelve months of 31 days
    const FixedWindowState& fixed = state.fixed_window;
    return fixed.used <= kMaxAmount && fixed.start < fixed.end &&
           int64_t{fixed.end} - fixed.start <= kMaxSeconds;
}

void advance_state(const Limit& limit, State* state, Now now) {
    advance(limit, &state->fixed_window, now.wall);
}

Millis until_state_is_back(const Limit&, const State& state, Amount amount, Now now) {
    return until_back(state.fixed_window, amount, now.wall);
}

Millis length_of(const State& state) {
    return (Millis{state.fixed_window.end} - Millis{state.fixed_window.start}) * 1000;
}

Millis window(const Limit&, const State& state) {
    return length_of(state);
}

bool fits_entry(const Limit& limit, const State& state) {
    // A month is not always as long.
    Millis length = length_of(state);
    Millis shortest = limit.period.unit == PeriodUnit::kMonth ? limit.period_length / 30 * 28
                                                              : limit.period_length;
    return length >= shortest && length <= limit.period_length / 30 * 32;
}

void move_clock(const Limit&, State*, Millis, Millis) {}  // it counts by the wall clock

}  // namespace

const AlgorithmRow kRow = {make_limit,          has_sound_period, is_sound_state, advance_state,
                           until_state_is_back, window,           fits_entry,     move_clock};

}  // namespace ai_limit::fixed_window
