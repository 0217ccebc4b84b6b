#include "core/buckets/eviction.h"

#include "core/limits/algorithm.h"
#include "core/limits/fixed_window.h"

namespace ai_limit {

namespace {

constexpr unsigned kShareBits = 8;

/**
 * Orders live entries: the one that will be full again soonest goes first. Among those, the least
 * used one goes first.
 */
uint64_t order_of_live(Millis until_idle, Amount used, Amount capacity) {
    constexpr uint64_t kMost = uint64_t{1} << (63 - kShareBits);
    uint64_t left = static_cast<uint64_t>(until_idle);
    uint64_t share = used >= capacity ? 255 : used * 255 / capacity;
    return (left < kMost ? left : kMost - 1) << kShareBits | share;
}

/**
 * Orders entries that refuse. Those that would refuse for long are kept. Among those that would for
 * about as long (within a factor of two), the older ones are kept: an attacker's new keys must not
 * push them out.
 */
uint64_t order_of_refusing(Millis until_idle, Millis newness) {
    uint64_t octave =
        static_cast<uint64_t>(63 - __builtin_clzll(static_cast<uint64_t>(until_idle) | 1));
    return octave << 56 | (~static_cast<uint64_t>(newness) & ((uint64_t{1} << 56) - 1));
}

/** The sharer of a key is of use as long as it may be active, and as what it used counts in its
 * part: else the part would begin anew. */
Appraisal appraise_sharer(const SharerState& state, Now now) {
    constexpr Millis kActive = 60'000;
    constexpr Millis kSecond = 1'000;
    const Millis age = now.monotonic - static_cast<Millis>(state.at);
    if (state.slots != 0) {
        return {Worth::kInFlight, 0};
    }
    const Millis used_for = state.lasts != 0 ? kSecond << state.lasts : 0;
    const Millis lasts = used_for < kActive ? kActive : used_for;
    return age < lasts ? Appraisal{Worth::kLive, order_of_live(lasts - age, 0, 1)}
                       : Appraisal{Worth::kNothing, 2};
}

}  // namespace

Appraisal appraise(const Zone& zone, const Geometry& geometry, Cell cell, Now now) {
    if (cell.bucket->tags[cell.index] == 0) {
        return {Worth::kNothing, 0};
    }
    State state{};
    load_state(cell, geometry, &state);
    return appraise_state(zone, state, now);
}

Appraisal appraise_state(const Zone& zone, State state, Now now) {
    if (state.head.policy == 0 || zone.policy(state.head.policy)->name_size == 0) {
        return {Worth::kNothing, 1};
    }
    // The slowest limit of the policy: with variable rates, this key's own may be quicker.
    const Limit& limit = zone.policy(state.head.policy)->slowest;
    if (is_of_sharer(limit.algorithm)) {
        return appraise_sharer(state.sharer, now);
    }
    bool spent = state.head.spent;
    bool refused = state.head.refused;
    bool calendar = is_calendar(limit.algorithm);
    Millis used_last = calendar ? fixed_window::last_use(state.fixed_window) : 0;
    advance(limit, &state, now);
    Amount left = used(limit, state);
    if (left == 0) {
        return {Worth::kNothing, 2};
    }
    if (has_flights(limit.algorithm)) {
        return {Worth::kInFlight, 0};
    }
    if (limit.algorithm == Algorithm::kLedger) {
        return {Worth::kSpent, state.ledger.touched_at};  // it is not reported to other nodes
    }
    Millis until_idle = until_back(limit, state, left, now);
    if (refused || spent) {
        // All entries of a calendar window end at once; others end the later the newer they are.
        return {refused ? Worth::kRefused : Worth::kSpent,
                order_of_refusing(until_idle, calendar ? used_last : until_idle)};
    }
    return {Worth::kLive, order_of_live(until_idle, left, limit.capacity)};
}

}  // namespace ai_limit
