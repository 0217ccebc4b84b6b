#include "core/period_entries.h"

#include "core/sliding_window.h"

namespace ai_limit {

namespace {

/** Brings a state up to now by its own period. Returns what it counts. */
Amount bring_up(const Limit& limit, State* state, Now now) {
    if (limit.algorithm == Algorithm::kFixedWindow) {
        bool is_over = now.wall >= Millis{state->fixed_window.end} * 1000;
        return is_over ? 0 : state->fixed_window.used;
    }
    Limit own = limit;
    own.period_length = Millis{state->sliding_window.period_seconds} * 1000;
    if (own.period_length == 0) {
        return 0;
    }
    advance(own, state, now);
    return used(own, *state);
}

}  // namespace

OtherPeriods find_other_periods(const Home& home, uint32_t variant) {
    OtherPeriods others{};
    for (uint32_t other = 0; other < kMaxVariants; ++other) {
        if (other != variant) {
            Home theirs = home;
            theirs.tag = home.tag ^ tag_bits(variant) ^ tag_bits(other);
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
        Amount amount = bring_up(limit, &state, now);
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
        if (bring_up(limit, &state, now) == 0) {
            store_tag(journal, others.cells[i], 0);
        } else {
            charge_any(limit, &state, amount);
            store_state(journal, others.cells[i], geometry, state);
        }
    }
}

}  // namespace ai_limit
