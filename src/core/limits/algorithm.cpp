#include "core/limits/algorithm.h"

#include "core/limits/fixed_window.h"
#include "core/limits/slot_wait.h"
#include "core/limits/token_bucket.h"

namespace ai_limit {

namespace {

/** Nobody knows when a request in flight will end: what is likely, where that is known. */
Millis slot_wait(const ConcurrencyState& state) {
    return state.likely_wait != 0 ? static_cast<Millis>(state.likely_wait) : kShortestSlotWait;
}

void advance_token_bucket(const Limit& limit, State* state, Millis now) {
    StateHead head = state->head;
    token_bucket::Level level = token_bucket::unpack(state->pair);
    state->pair =
        token_bucket::pack(token_bucket::advance(limit, level, now), head.policy, head.spent);
    state->head.refused = head.refused;
}

/** In which the whole capacity comes back. */
Millis window_of(const Limit& limit, const State& state) {
    switch (limit.algorithm) {
        case Algorithm::kTokenBucket:
            return limit.fills_in;
        case Algorithm::kSlidingWindow:
            return limit.period_length;
        case Algorithm::kFixedWindow:
            return (Millis{state.fixed_window.end} - state.fixed_window.start) * 1000;
        case Algorithm::kConcurrency:
        case Algorithm::kReservation:
        case Algorithm::kLedger:
            break;
    }
    return 0;
}

}  // namespace

void advance(const Limit& limit, State* state, Now now) {
    switch (limit.algorithm) {
        case Algorithm::kTokenBucket:
            advance_token_bucket(limit, state, now.monotonic);
            break;
        case Algorithm::kSlidingWindow:
            sliding_window::advance(limit, &state->sliding_window, clock_of(limit, now));
            break;
        case Algorithm::kFixedWindow:
            fixed_window::advance(limit, &state->fixed_window, now.wall);
            break;
        case Algorithm::kConcurrency:
        case Algorithm::kReservation:
        case Algorithm::kLedger:
            break;
    }
}

void charge_any(const Limit& limit, State* state, Amount amount, Now now) {
    if (is_wide(limit.algorithm)) {
        sliding_window::add_any(&state->sliding_window, amount, clock_of(limit, now));
        return;
    }
    Amount sum = state->token_bucket.used + amount;
    state->token_bucket.used = sum < kMaxAmount ? sum : kMaxAmount;
}

void charge_used(const Limit& limit, State* state, Amount amount, Now now) {
    Amount most = limit.capacity * (1 + kMaxDebt);
    // A limit of nothing may have come while the request was under way.
    most = most == 0 || most > kMaxAmount ? kMaxAmount : most;
    Amount before = used(limit, *state);
    Amount room = before < most ? most - before : 0;
    charge_any(limit, state, amount < room ? amount : room, now);
}

Millis until_back_other(const Limit& limit, const State& state, Amount amount, Now now) {
    switch (limit.algorithm) {
        case Algorithm::kTokenBucket:
            break;
        case Algorithm::kSlidingWindow:
            return sliding_window::until_back(state.sliding_window, amount, clock_of(limit, now));
        case Algorithm::kFixedWindow:
            return fixed_window::until_back(state.fixed_window, amount, now.wall);
        case Algorithm::kConcurrency:
            return amount == 0 ? 0 : slot_wait(state.concurrency);
        case Algorithm::kReservation:
        case Algorithm::kLedger:
            return amount == 0 ? 0 : kShortestSlotWait;
    }
    return 0;
}

Description describe(const Limit& limit, const State& state, Amount requested, bool refused,
                     Now now) {
    const auto until = [&](Amount amount) { return until_back(limit, state, amount, now); };
    Amount taken = used(limit, state);
    Amount above = taken > limit.capacity ? taken - limit.capacity : 0;
    Description said{};
    said.measure = limit.measure;
    said.period = limit.period;
    said.limit = limit.capacity;
    said.remaining = remaining_of(limit, taken);
    said.requested = requested;
    said.window = window_of(limit, state);
    said.reset = until(taken);
    said.next = taken == 0 ? 0 : until(above + 1);
    said.refused = refused;
    if (refused) {
        // One token must remain even if none is reserved.
        Amount wanted = requested == 0 && limit.measure == Measure::kTokens ? 1 : requested;
        said.wait = wanted > limit.capacity ? kNever : until(taken + wanted - limit.capacity);
    }
    return said;
}

}  // namespace ai_limit
