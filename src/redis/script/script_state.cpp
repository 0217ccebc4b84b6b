#include "redis/script/script_state.h"

#include <algorithm>

#include "core/limits/fixed_window.h"
#include "core/policies/redis_clock.h"

namespace ai_limit {

namespace {

constexpr Amount kMostInPart = UINT32_MAX;

/** The script's side of an algorithm. */
struct ScriptAlgorithm {
    std::string_view kind;
    void (*add_numbers)(const Limit& limit, Millis wall, MessagePack* arguments);
    // Packs a state in which something is used. nullptr: the script keeps no state.
    void (*pack_state)(const Limit& limit, const State& state, const Zone& zone,
                       MessagePack* packed);
    void (*read_state)(const Counted& counted, PackedNumbers* numbers, State* state);
};

void add_nothing(unsigned times, MessagePack* arguments) {
    while (times-- != 0) {
        arguments->nothing();
    }
}

// --- token_bucket

void add_bucket_numbers(const Limit& limit, Millis, MessagePack* arguments) {
    arguments->numbers(
        {limit.refill_amount, limit.refill_millis, static_cast<uint64_t>(limit.fills_in)});
    arguments->nothing();
}

void pack_bucket(const Limit& limit, const State& state, const Zone& zone, MessagePack* packed) {
    token_bucket::Level level = token_bucket::unpack(state.pair);
    Millis at = to_redis_wall(zone, level.at);
    packed->array(6);
    packed->numbers({1, 0, level.used, static_cast<uint64_t>(at),
                     token_bucket::parts_of(limit, level), limit.refill_millis});
}

void read_bucket(const Counted& counted, PackedNumbers* numbers, State* state) {
    const Limit& limit = *counted.limit;
    token_bucket::Level level{};
    level.used = numbers->next(kMaxAmount);
    Millis at = static_cast<Millis>(numbers->next(kAnyTime));
    // A node whose clock was wrong when its zone was made may have begun after that.
    level.at = std::max(to_redis_monotonic(*counted.zone, at), Millis{0});
    uint64_t remainder = numbers->next(kAnyTime);
    bool same = numbers->next(kAnyTime) == limit.refill_millis && remainder < limit.refill_millis;
    level.fraction = same ? token_bucket::to_fraction(remainder, limit.refill_millis) : 0;
    level.rate = limit.rate_number;
    state->pair = token_bucket::pack(level, counted.policy, false);
}

// --- sliding_window

void add_sliding_numbers(const Limit& limit, Millis, MessagePack* arguments) {
    arguments->number(limit.period_length / kSubWindows);
    add_nothing(3, arguments);
}

void pack_sliding(const Limit& limit, const State& state, const Zone&, MessagePack* packed) {
    packed->array(4 + kSubWindows + 1);
    packed->numbers({4, 0, static_cast<uint64_t>(limit.period_length / kSubWindows),
                     state.sliding_window.last_charge});
    for (uint32_t count : state.sliding_window.used) {
        packed->number(count);
    }
}

void read_sliding(const Counted& counted, PackedNumbers* numbers, State* state) {
    SlidingWindowState* sliding = &state->sliding_window;
    sliding->period_seconds = static_cast<uint32_t>(counted.limit->period_length / 1000);
    sliding->last_charge = numbers->next(kAnyTime);
    for (uint32_t& count : sliding->used) {
        count = static_cast<uint32_t>(numbers->next(kMostInPart));
    }
}

// --- fixed_window

void add_fixed_numbers(const Limit& limit, Millis wall, MessagePack* arguments) {
    fixed_window::Window present = fixed_window::window_at(limit.period, limit.time_zone, wall);
    fixed_window::Window before =
        fixed_window::window_at(limit.period, limit.time_zone, Millis{present.start} * 1000 - 1);
    fixed_window::Window next =
        fixed_window::window_at(limit.period, limit.time_zone, Millis{present.end} * 1000);
    arguments->numbers({before.start, present.start, present.end, next.end});
}

void pack_fixed(const Limit&, const State& state, const Zone&, MessagePack* packed) {
    packed->array(5);
    packed->numbers(
        {3, 0, state.fixed_window.used, state.fixed_window.start, state.fixed_window.end});
}

void read_fixed(const Counted&, PackedNumbers* numbers, State* state) {
    state->fixed_window.used = numbers->next(kMaxAmount);
    state->fixed_window.start = static_cast<uint32_t>(numbers->next(UINT32_MAX));
    state->fixed_window.end = static_cast<uint32_t>(numbers->next(UINT32_MAX));
}

// --- concurrency

void add_no_numbers(const Limit&, Millis, MessagePack* arguments) {
    add_nothing(4, arguments);
}

void read_count(const Counted&, PackedNumbers* numbers, State* state) {
    state->concurrency.used = numbers->next(kMaxAmount);
}

// --- all of them

constexpr ScriptAlgorithm kBucket = {"b", add_bucket_numbers, pack_bucket, read_bucket};
constexpr ScriptAlgorithm kSliding = {"s", add_sliding_numbers, pack_sliding, read_sliding};
constexpr ScriptAlgorithm kFixed = {"f", add_fixed_numbers, pack_fixed, read_fixed};
constexpr ScriptAlgorithm kSlots = {"c", add_no_numbers, nullptr, read_count};

const ScriptAlgorithm& script_algorithm(const Limit& limit) {
    switch (limit.algorithm) {
        case Algorithm::kTokenBucket:
            return kBucket;
        case Algorithm::kSlidingWindow:
            return kSliding;
        case Algorithm::kFixedWindow:
            return kFixed;
        case Algorithm::kConcurrency:
        case Algorithm::kReservation:
        case Algorithm::kLedger:
        case Algorithm::kSharer:
        case Algorithm::kSharerOfSlots:
            break;
    }
    return kSlots;
}

}  // namespace

void add_kind(const Limit& limit, MessagePack* arguments) {
    arguments->text(script_algorithm(limit).kind);
}

void add_limit(const Limit& limit, Millis wall, MessagePack* arguments) {
    add_kind(limit, arguments);
    arguments->number(static_cast<int64_t>(limit.capacity));
    script_algorithm(limit).add_numbers(limit, wall, arguments);
}

void add_seed(const Limit& limit, const State& state, const Zone& zone, MessagePack* arguments) {
    const ScriptAlgorithm& algorithm = script_algorithm(limit);
    static MessagePack packed;
    packed.clear();
    if (algorithm.pack_state != nullptr && used(limit, state) != 0) {
        algorithm.pack_state(limit, state, zone, &packed);
    }
    arguments->text(packed.view());
}

State read_state(const Counted& counted, PackedNumbers* numbers) {
    State state{};
    script_algorithm(*counted.limit).read_state(counted, numbers, &state);
    state.head.policy = counted.policy & 0xff;
    return state;
}

}  // namespace ai_limit
