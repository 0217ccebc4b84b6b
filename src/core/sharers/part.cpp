#include "core/sharers/part.h"

#include <algorithm>

#include "core/sharers/window_part.h"

namespace ai_limit {

namespace {

__extension__ typedef unsigned __int128 Wide;

constexpr unsigned kFraction = 20;  // bits of SharerState::used behind the point
constexpr uint64_t kMostUsed = kMaxAmount << kFraction;
constexpr uint64_t kMostWeights = uint64_t{1} << 30;
constexpr uint64_t kMostLow = (uint64_t{1} << 24) - 1;  // in SharerState::low

/** The part of a rate: in a millisecond, `amount` / `millis` of the limit's unit come back. */
struct PartOfRate {
    Wide amount;
    Wide millis;
};

uint64_t all_weights(const SharerAsk& ask, const OtherSharers& others) {
    return (std::min(others.weights, kMostWeights) + ask.weight) * ask.nodes;
}

PartOfRate rate_of(const SharerAsk& ask, uint64_t weights) {
    const Limit& limit = *ask.limit;
    const bool refills = limit.algorithm == Algorithm::kTokenBucket;
    const uint64_t amount = refills ? limit.refill_amount : limit.capacity;
    const uint64_t millis =
        refills ? limit.refill_millis : static_cast<uint64_t>(limit.period_length);
    return {Wide{amount} * ask.weight, Wide{millis} * weights};
}

/** Returns how much of the limit's capacity is the sharer's, never less than one request needs. */
Amount capacity_of(const SharerAsk& ask, uint64_t weights) {
    const Amount capacity = ask.limit->capacity;
    const auto part = static_cast<Amount>(Wide{capacity} * ask.weight / weights);
    return std::max(part, std::min(std::max(ask.cost, Amount{1}), capacity));
}

void note_time(Millis now, SharerState* state) {
    state->at = static_cast<uint64_t>(now) & ((uint64_t{1} << 40) - 1);
}

bool of_slots(const Limit& limit) {
    return limit.algorithm == Algorithm::kConcurrency;
}

/** Notes a wish for so much at once, and lets old ones fade. */
void note_wish(Amount wish, bool adds, const Limit& limit, Millis now, SharerState* state) {
    constexpr uint64_t kSlices = kActivitySlices;
    const uint32_t latest = slice_of(limit, static_cast<Millis>(state->at));
    const uint64_t passed =
        std::min<uint64_t>((slice_of(limit, now) - latest) & kSliceMask, kSlices);
    if (passed != 0) {
        const uint64_t faded = state->most_asked * (kSlices - passed) / kSlices;
        state->most_asked = passed < kSlices ? std::max<uint64_t>(state->asked, faded) : 0;
        state->asked = 0;
    }
    const uint64_t before = state->asked;
    state->asked =
        std::min<uint64_t>(adds ? before + wish : std::max<uint64_t>(before, wish), kMaxAmount);
}

Amount wished(const SharerState& state) {
    return std::max<Amount>(state.asked, state.most_asked);
}

void refill(const PartOfRate& rate, Millis now, SharerState* state) {
    const Millis elapsed = std::clamp<Millis>(now - static_cast<Millis>(state->at), 0, kMaxPeriod);
    const Wide back = (Wide{static_cast<uint64_t>(elapsed)} * rate.amount << kFraction) /
                      std::max<Wide>(rate.millis, 1);
    state->used = back >= state->used ? 0 : state->used - static_cast<uint64_t>(back);
}

SharerPart weigh_rate(const SharerAsk& ask, uint64_t weights, Millis now, SharerState* state) {
    const PartOfRate rate = rate_of(ask, weights);
    note_wish(ask.cost, true, *ask.limit, now, state);
    refill(rate, now, state);
    const Amount capacity = capacity_of(ask, weights);
    const uint64_t most = capacity << kFraction;
    const uint64_t wanted = state->used + (ask.cost << kFraction);
    SharerPart part{};
    part.is_own = wanted <= most;
    part.left = state->used < most ? (most - state->used) >> kFraction : 0;
    part.need = std::min(wished(*state), capacity);
    if (!part.is_own && rate.amount != 0) {
        const Wide missing = Wide{wanted - most} * rate.millis;
        const Wide wait = (missing / rate.amount >> kFraction) + 1;
        part.wait = static_cast<Millis>(std::min<Wide>(wait, kMaxPeriod));
    }
    return part;
}

SharerPart weigh_slots(const SharerAsk& ask, uint64_t weights, Millis now, SharerState* state) {
    note_wish(state->slots + ask.cost, false, *ask.limit, now, state);
    const Amount capacity = capacity_of(ask, weights);
    SharerPart part{};
    part.is_own = state->slots + ask.cost <= capacity;
    part.left = capacity - std::min<Amount>(capacity, state->slots);
    part.need = std::min(wished(*state), capacity);
    return part;
}

SharerPart weigh_window(const SharerAsk& ask, uint64_t weights, Now now, SharerState* state) {
    enter_window(*ask.limit, now, state);
    state->asked = std::min<uint64_t>(state->asked + ask.cost, kMaxAmount);
    note_time(now.monotonic, state);
    const Amount used = used_in_window(*ask.limit, *state);
    const Amount capacity = capacity_of(ask, weights);
    SharerPart part{};
    part.is_own = used + ask.cost <= capacity;
    part.left = capacity - std::min(capacity, used);
    part.need = need_in_window(*ask.limit, *state, capacity);
    return part;
}

SharerPart weigh(const SharerAsk& ask, uint64_t weights, Now now, SharerState* state) {
    if (of_slots(*ask.limit)) {
        return weigh_slots(ask, weights, now.monotonic, state);
    }
    return ask.limit->algorithm == Algorithm::kTokenBucket
               ? weigh_rate(ask, weights, now.monotonic, state)
               : weigh_window(ask, weights, now, state);
}

/** Returns how much of the limit a sharer uses, by a state that was weighed. */
Amount used_of_part(const Limit& limit, const SharerState& state) {
    if (of_slots(limit)) {
        return state.slots;
    }
    return limit.algorithm == Algorithm::kTokenBucket
               ? (state.used + (uint64_t{1} << kFraction) - 1) >> kFraction
               : used_in_window(limit, state);
}

/** Returns how much of a need can be counted as used. A sliding window gives back an eighth at a
 * time: a sharer that has used what it needs will need an eighth again before more comes back. */
Amount most_counted(const Limit& limit, Amount need) {
    return is_calendar(limit.algorithm) ? need : need - std::min(need, need / 8 + 1);
}

/** Returns how long what the sharer used counts in its part, in milliseconds; 0 if it used nothing.
 */
Millis time_of_use(const Limit& limit, uint64_t weights, const SharerState& state) {
    if (of_slots(limit)) {
        return 0;
    }
    if (limit.algorithm != Algorithm::kTokenBucket) {
        return used_in_window(limit, state) != 0 ? limit.period_length : 0;
    }
    const SharerAsk ask = {&limit, static_cast<uint32_t>(state.weight), 1};
    return time_of_part(ask, weights, state.used >> kFraction);
}

/** Notes that for the entry's worth (eviction.cpp), in seconds, rounded up to a power of two. */
void note_time_of_use(const Limit& limit, uint64_t weights, SharerState* state) {
    constexpr uint64_t kMost = 31;
    constexpr uint64_t kSecond = 1'000;
    const auto seconds = static_cast<uint64_t>(time_of_use(limit, weights, *state)) / kSecond;
    const uint64_t bits = seconds != 0 ? 64 - static_cast<uint64_t>(__builtin_clzll(seconds)) : 0;
    state->lasts = std::min(bits, kMost) & kMost;
}

OtherSharers others_at(const SharerAsk& ask, const KeyActivity* activity, Now now,
                       const SharerState& state) {
    if (activity == nullptr) {
        return {};
    }
    const Slices slices = {slice_of(*ask.limit, now.monotonic), slices_of_window(*ask.limit, now)};
    return others_of(*activity, activity_of(*ask.limit, state), slices);
}

}  // namespace

SharerPart weigh_sharer(const SharerAsk& ask, const KeyActivity* activity, Now now,
                        SharerState* state) {
    const OtherSharers others = others_at(ask, activity, now, *state);
    SharerPart part = weigh(ask, all_weights(ask, others), now, state);
    state->weight = ask.weight & 0x3fff;
    note_time(now.monotonic, state);
    part.weights = all_weights(ask, others);
    // When nobody uses anything, a request beyond its part must pass as well.
    const Amount capacity = ask.limit->capacity;
    part.claimed = std::min(others.claims, capacity - std::min(ask.cost, capacity));
    return part;
}

void note_decision(const Limit& limit, const SharerPart& part, Amount taken, SharerState* state) {
    state->need = part.need;
    if (of_slots(limit)) {
        state->slots += taken;
    } else {
        correct_part(limit, part, 0, taken, state);
    }
    note_counted(limit, state);
}

void correct_part(const Limit& limit, const SharerPart& part, Amount charged, Amount used,
                  SharerState* state) {
    if (limit.algorithm != Algorithm::kTokenBucket) {
        use_in_window(charged, used, state);
    } else if (part.is_own) {
        const uint64_t before = state->used + (std::min(used, kMaxAmount) << kFraction);
        const uint64_t less = charged << kFraction;
        state->used = before > less ? std::min(before - less, kMostUsed) : 0;
    }
    note_time_of_use(limit, part.weights, state);
}

Millis time_of_part(const SharerAsk& ask, uint64_t weights, Amount amount) {
    const PartOfRate rate = rate_of(ask, weights);
    if (rate.amount == 0) {
        return kNever;
    }
    const Wide time = (Wide{amount} * rate.millis + rate.amount - 1) / rate.amount;
    return static_cast<Millis>(std::min<Wide>(time, kMaxPeriod));
}

void give_back_slots(Amount slots, SharerState* state) {
    state->slots -= std::min<Amount>(slots, state->slots);
}

void note_counted(const Limit& limit, SharerState* state) {
    if (of_slots(limit)) {
        state->low = std::min({Amount{state->slots}, Amount{state->need}, kMostLow});
    }
}

SharerUse use_of_sharer(const Limit& limit, const KeyActivity* activity, Now now,
                        const SharerState& state, uint32_t nodes) {
    const uint32_t present = slice_of(limit, now.monotonic);
    const uint32_t latest = slice_of(limit, static_cast<Millis>(state.at));
    const bool is_active = state.weight != 0 && is_recent_slice(latest, present);
    SharerState then = state;
    const auto weight = static_cast<uint32_t>(state.weight);
    const SharerAsk nothing = {&limit, std::max(weight, uint32_t{1}), 0, nodes};
    const SharerPart part = weigh_sharer(nothing, activity, now, &then);
    SharerUse use{0, used_of_part(limit, then), part.need, weight};
    if (is_active) {
        use.part = capacity_of(nothing, part.weights);
    } else {
        use.need = 0;
    }
    return use;
}

Activity activity_of(const Limit& limit, const SharerState& state) {
    Activity activity{};
    activity.slice = slice_of(limit, static_cast<Millis>(state.at));
    activity.weight = state.weight;
    activity.need = state.need;
    if (of_slots(limit)) {
        activity.used = state.low;
    } else if (limit.algorithm != Algorithm::kTokenBucket) {
        activity.used = std::min(used_in_window(limit, state), most_counted(limit, state.need));
    }
    return activity;
}

}  // namespace ai_limit
