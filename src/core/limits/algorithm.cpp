#include "core/limits/algorithm.h"

#include "core/limits/fixed_window.h"
#include "core/limits/slot_wait.h"
#include "core/limits/token_bucket.h"

namespace ai_limit {

namespace {

// Time gives nothing back of requests and tokens in flight, of ledgers and of what a sharer has, as
// far as these functions go. No policy can choose them by a rate.

const char* make_no_limit(const Rate&, Amount, Millis, Limit*) {
    return "this algorithm has no rate";
}

bool is_sound_count(const Limit&) {
    return true;
}

bool is_sound_ledger(const Limit& limit) {
    return limit.period_length >= 0 && limit.period_length <= kMaxPeriod;
}

/** Files hold no such states. */
bool is_in_no_file(const State&) {
    return false;
}

void stay(const Limit&, State*, Now) {}

/** Nobody knows when a request in flight will end: what is likely, where that is known. */
Millis until_slot(const Limit&, const State& state, Amount amount, Now) {
    if (amount == 0) {
        return 0;
    }
    return state.concurrency.likely_wait != 0 ? static_cast<Millis>(state.concurrency.likely_wait)
                                              : kShortestSlotWait;
}

Millis until_end(const Limit&, const State&, Amount amount, Now) {
    return amount == 0 ? 0 : kShortestSlotWait;
}

Millis no_window(const Limit&, const State&) {
    return 0;
}

bool fits_any(const Limit&, const State&) {
    return true;
}

void have_no_clock(const Limit&, State*, Millis, Millis) {}

constexpr AlgorithmRow kSlots = {make_no_limit, is_sound_count, is_in_no_file, stay,
                                 until_slot,    no_window,      fits_any,      have_no_clock};
constexpr AlgorithmRow kReservations = {make_no_limit, is_sound_count, is_in_no_file,
                                        stay,          until_end,      no_window,
                                        fits_any,      have_no_clock};
constexpr AlgorithmRow kOthers = {make_no_limit, is_sound_ledger, is_in_no_file, stay,
                                  until_end,     no_window,       fits_any,      have_no_clock};

}  // namespace

const AlgorithmRow& row_of(Algorithm algorithm) {
    switch (algorithm) {
        case Algorithm::kTokenBucket:
            return token_bucket::kRow;
        case Algorithm::kSlidingWindow:
            return sliding_window::kRow;
        case Algorithm::kFixedWindow:
            return fixed_window::kRow;
        case Algorithm::kConcurrency:
            return kSlots;
        case Algorithm::kReservation:
            return kReservations;
        case Algorithm::kLedger:
        case Algorithm::kSharer:
        case Algorithm::kSharerOfSlots:
            break;
    }
    return kOthers;
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
    said.window = row_of(limit.algorithm).window(limit, state);
    // Of a limit of 0, nothing comes back.
    said.reset = limit.capacity == 0 ? 0 : until(taken);
    said.next = taken == 0 || limit.capacity == 0 ? 0 : until(above + 1);
    said.refused = refused;
    said.is_burst =
        limit.algorithm == Algorithm::kTokenBucket && limit.fills_in != limit.period_length;
    if (refused) {
        // Something must remain even if nothing is reserved.
        Amount wanted = requested == 0 && is_settled(limit.measure) ? 1 : requested;
        // There may be room, if others who share the key need it.
        const Amount fits = remaining_of(limit, taken);
        said.wait = wanted > limit.capacity ? kNever
                    : wanted <= fits        ? 0
                                            : until(taken + wanted - limit.capacity);
    }
    return said;
}

}  // namespace ai_limit
