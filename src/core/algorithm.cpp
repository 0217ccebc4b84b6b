#include "core/algorithm.h"

#include "core/fixed_window.h"
#include "core/sliding_window.h"
#include "core/token_bucket.h"

namespace ai_limit {

namespace {

/** Nobody knows when a request in flight will end. */
constexpr Millis kInFlightWait = 1000;

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
            break;
    }
    return 0;
}

}  // namespace

void advance(const Limit& limit, State* state, Now now) {
    switch (limit.algorithm) {
        case Algorithm::kTokenBucket:
            token_bucket::advance(limit, &state->token_bucket, now.monotonic);
            break;
        case Algorithm::kSlidingWindow:
            sliding_window::advance(limit, &state->sliding_window, now.monotonic);
            break;
        case Algorithm::kFixedWindow:
            fixed_window::advance(limit, &state->fixed_window, now.wall);
            break;
        case Algorithm::kConcurrency:
            break;
    }
}

Amount used(const Limit& limit, const State& state) {
    switch (limit.algorithm) {
        case Algorithm::kTokenBucket:
            return state.token_bucket.used;
        case Algorithm::kSlidingWindow:
            return sliding_window::used(state.sliding_window);
        case Algorithm::kFixedWindow:
            return state.fixed_window.used;
        case Algorithm::kConcurrency:
            return state.concurrency.used;
    }
    return 0;
}

void charge(const Limit& limit, State* state, Amount cost) {
    switch (limit.algorithm) {
        case Algorithm::kTokenBucket:
            state->token_bucket.used += cost;
            break;
        case Algorithm::kSlidingWindow:
            sliding_window::add(&state->sliding_window, cost);
            break;
        case Algorithm::kFixedWindow:
            state->fixed_window.used += cost;
            break;
        case Algorithm::kConcurrency:
            state->concurrency.used += cost;
            break;
    }
}

Millis until_back(const Limit& limit, const State& state, Amount amount, Now now) {
    switch (limit.algorithm) {
        case Algorithm::kTokenBucket:
            return token_bucket::until_back(limit, state.token_bucket, amount, now.monotonic);
        case Algorithm::kSlidingWindow:
            return sliding_window::until_back(state.sliding_window, amount, now.monotonic);
        case Algorithm::kFixedWindow:
            return fixed_window::until_back(state.fixed_window, amount, now.wall);
        case Algorithm::kConcurrency:
            return amount == 0 ? 0 : kInFlightWait;
    }
    return 0;
}

Description describe(const Limit& limit, const State& state, Amount requested, bool refused, Now now) {
    Amount taken = used(limit, state);
    Description said{};
    said.measure = limit.measure;
    said.period = limit.period;
    said.limit = limit.capacity;
    said.remaining = taken < limit.capacity ? limit.capacity - taken : 0;
    said.requested = requested;
    said.window = window_of(limit, state);
    said.reset = until_back(limit, state, taken, now);
    said.next = taken == 0 ? 0 : until_back(limit, state, 1 + (taken - said.limit + said.remaining), now);
    said.refused = refused;
    if (refused) {
        said.wait = requested > limit.capacity
                        ? kNever
                        : until_back(limit, state, taken + requested - limit.capacity, now);
    }
    return said;
}

}  // namespace ai_limit
