#include "core/buckets/period_entries.h"

#include "core/limits/fixed_window.h"

namespace ai_limit {

namespace {

bool is_of(const Limit& limit, const State& state) {
    if (!is_calendar(limit.algorithm)) {
        return limit.period_length == Millis{state.sliding_window.period_seconds} * 1000;
    }
    fixed_window::Window window = fixed_window::window_at(limit.period, limit.time_zone,
                                                          Millis{state.fixed_window.start} * 1000);
    return window.start == state.fixed_window.start && window.end == state.fixed_window.end;
}

/** A limit that the policy has had with the entry's period; nullptr if none is known any more. */
const Limit* limit_of(const Zone& zone, const State& state) {
    for (const KnownLimit& known : zone.policy(state.head.policy)->limits) {
        if (known.state.load(std::memory_order_acquire) == KnownLimit::kKnown &&
            has_window(known.limit.algorithm) && is_of(known.limit, state)) {
            return &known.limit;
        }
    }
    return nullptr;
}

/** The entry's own period, in a limit that is else like the given one. */
Limit with_own_period(const Limit& limit, const SlidingWindowState& state) {
    Limit own = limit;
    own.period_length =
        state.period_seconds != 0 ? Millis{state.period_seconds} * 1000 : limit.period_length;
    return own;
}

/**
 * Returns how much of an entry's count may belong to the limit's present window. It is the whole
 * count, unless the entry was last used before that window. A limit of zero has no window of its
 * own.
 */
Amount may_have_counted(const Limit& limit, State state, Now now) {
    if (!is_calendar(limit.algorithm)) {
        Limit by = limit.capacity != 0 ? limit : with_own_period(limit, state.sliding_window);
        advance(by, &state, now);
        return used(by, state);
    }
    const FixedWindowState& window = state.fixed_window;
    Millis length = Millis{window.end - window.start} * 1000;
    Millis last = Millis{window.start} * 1000 + fixed_window::last_use(window) + length / 16384 + 1;
    fixed_window::Window present = fixed_window::window_at(limit.period, limit.time_zone, now.wall);
    bool is_before = limit.capacity != 0 && last < Millis{present.start} * 1000;
    return is_before || now.wall >= Millis{window.end} * 1000 ? 0 : window.used;
}

/** False if the entry's window is over and nobody will miss it. Brings it up to now. */
bool keep(const Zone& zone, const Limit& limit, State* state, Now now) {
    const Limit* own = limit_of(zone, *state);
    if (own != nullptr) {
        advance(*own, state, now);
        return used(*own, *state) != 0 || own->period_length < limit.period_length;
    }
    if (is_calendar(limit.algorithm)) {
        fixed_window::note_use(&state->fixed_window, now.wall);
        return now.wall < Millis{state->fixed_window.end} * 1000;
    }
    Limit same = with_own_period(limit, state->sliding_window);
    advance(same, state, now);
    return used(same, *state) != 0;
}

}  // namespace

OtherPeriods find_other_periods(const BucketPair& pair, uint32_t variant) {
    OtherPeriods others{};
    for (uint32_t other = 0; other < kMaxVariants; ++other) {
        if (other != variant) {
            BucketPair theirs = pair;
            theirs.tag = pair.tag ^ tag_bits(variant) ^ tag_bits(other);
            Cell cell = theirs.find();
            if (cell.index != kNoCell) {
                others.cells[others.count++] = cell;
            }
        }
    }
    return others;
}

Amount most_used(const OtherPeriods& others, const Limit& limit, Now now) {
    Amount most = 0;
    for (uint32_t i = 0; i < others.count; ++i) {
        State state{};
        load_state(others.cells[i], geometry_of(limit.algorithm), &state);
        Amount amount = may_have_counted(limit, state, now);
        most = amount > most ? amount : most;
    }
    return most;
}

void count_in(const OtherPeriods& others, Journal* journal, const Limit& limit, Amount amount,
              Now now) {
    const Geometry& geometry = geometry_of(limit.algorithm);
    for (uint32_t i = 0; i < others.count; ++i) {
        State state{};
        load_state(others.cells[i], geometry, &state);
        if (keep(journal->zone(), limit, &state, now)) {
            charge_any(limit, &state, amount, now);
            store_state(journal, others.cells[i], geometry, state);
        } else {
            store_tag(journal, others.cells[i], 0);
        }
    }
}

}  // namespace ai_limit
