#include "core/eviction.h"

#include "core/algorithm.h"

namespace ai_limit {

namespace {

/**
 * Among entries that refuse, those that would refuse for long are kept; among those that would for
 * about as long (within a factor of two) the older ones, which an attacker's new keys must not push
 * out.
 */
uint64_t order_of_refusing(Millis until_idle) {
    uint64_t left = static_cast<uint64_t>(until_idle) | 1;
    uint64_t octave = static_cast<uint64_t>(63 - __builtin_clzll(left));
    return octave << 56 | (~left & ((uint64_t{1} << 56) - 1));
}

}  // namespace

Appraisal appraise(const Zone& zone, const Geometry& geometry, Cell cell, Now now) {
    if (cell.bucket->tags[cell.index] == 0) {
        return {Worth::kNothing, 0};
    }
    State state{};
    load_state(cell, geometry, &state);
    if (state.head.policy == 0 || zone.policy(state.head.policy)->name_size == 0) {
        return {Worth::kNothing, 1};
    }
    // The slowest limit of the policy: with variable rates, this key's own may be quicker.
    const Limit& limit = zone.policy(state.head.policy)->slowest;
    bool spent = state.head.spent;
    bool refused = state.head.refused;
    advance(limit, &state, now);
    Amount left = used(limit, state);
    if (left == 0) {
        return {Worth::kNothing, 2};
    }
    if (limit.algorithm == Algorithm::kConcurrency) {
        return {Worth::kInFlight, 0};
    }
    Millis until_idle = until_back(limit, state, left, now);
    if (refused || spent) {
        return {refused ? Worth::kRefused : Worth::kSpent, order_of_refusing(until_idle)};
    }
    return {Worth::kLive, static_cast<uint64_t>(until_idle)};
}

}  // namespace ai_limit
