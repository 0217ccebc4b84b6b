#include <cstring>

#include "core/algorithm.h"
#include "core/likely_limit.h"
#include "core/overrides.h"
#include "core/placing.h"
#include "core/policies.h"
#include "core/settlement.h"
#include "core/shared_clock.h"
#include "core/state_format.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ai_limit {

namespace {

constexpr size_t kSumBytes = sizeof(uint64_t);

/** Takes parts off the front. */
class Input {
public:
    explicit Input(std::string_view bytes) : rest_(bytes) {}

    template <typename Part>
    bool take(Part* part) {
        if (rest_.size() < sizeof(Part)) {
            return false;
        }
        std::memcpy(static_cast<void*>(part), rest_.data(), sizeof(Part));
        rest_.remove_prefix(sizeof(Part));
        return true;
    }

    std::string_view rest() const { return rest_; }

private:
    std::string_view rest_;
};

bool has_magic(std::string_view file) {
    return file.size() >= kStateHeadBytes &&
           std::memcmp(file.data(), kStateMagic, sizeof(kStateMagic)) == 0;
}

/** Both clocks at this moment, as the state counts, and as the zone does from now on. */
struct Clocks {
    Now then;
    Now now;
};

Clocks clocks_of(const StateFileHead& head, Now now) {
    Millis gone = now.wall > head.wall ? now.wall - head.wall : 0;
    return {{head.monotonic + gone, now.wall}, now};
}

void read_policy(const Zone& zone, const PolicyPart& part) {
    PolicyRecord* record = zone.policy(part.number);
    std::memcpy(static_cast<void*>(record), part.record, sizeof(part.record));
    PolicyCounts* counts = zone.counts(part.number, 0);
    counts->passed.store(part.counts.passed);
    counts->rejected.store(part.counts.rejected);
    counts->rejected_dry_run.store(part.counts.rejected_dry_run);
    counts->input_tokens.store(part.counts.input_tokens);
    counts->output_tokens.store(part.counts.output_tokens);
    counts->cached_input_tokens.store(part.counts.cached_input_tokens);
}

/** Whether decisions can be reckoned by the limit: its bytes may be anybody's. */
bool is_sound(const Limit& limit) {
    if (limit.algorithm > Algorithm::kLedger || limit.capacity > kMaxAmount ||
        limit.number > kMaxKnownLimits || limit.rate_number > kNoRateNumber) {
        return false;
    }
    switch (limit.algorithm) {
        case Algorithm::kTokenBucket:
            return limit.refill_millis != 0;
        case Algorithm::kSlidingWindow:
            return limit.period_length >= 1000;
        case Algorithm::kFixedWindow:
            return limit.period_length >= 1000 && limit.period.count != 0 &&
                   limit.period.unit <= PeriodUnit::kMonth;
        default:
            return true;
    }
}

bool is_sound(const PolicyPart& part) {
    const PolicyRecord* record = reinterpret_cast<const PolicyRecord*>(part.record);
    bool sound = part.number <= kMaxPolicies && record->name_size <= kMaxPolicyName &&
                 is_sound(record->slowest);
    for (const KnownLimit& known : record->limits) {
        sound = sound && (known.state.load() != KnownLimit::kKnown || is_sound(known.limit));
    }
    return sound;
}

void read_policies(const Zone& zone, Input* in) {
    PolicyPart part;
    while (in->take(&part) && part.number != 0) {
        if (is_sound(part)) {
            read_policy(zone, part);
        }
    }
}

void read_overrides(const Zone& zone, const Clocks& clocks, Input* in) {
    OverridePart part;
    uint32_t place = 0;
    while (in->take(&part) && part.tag != 0) {
        if (place == kMaxOverrides) {
            continue;
        }
        Override* to = zone.override_at(place);
        std::memcpy(static_cast<void*>(to), part.override_bytes, sizeof(part.override_bytes));
        to->expires_at += clocks.now.monotonic - clocks.then.monotonic;
        if (to->expires_at > clocks.now.monotonic && is_sound(to->limit)) {
            zone.override_tag(place++)->store(part.tag);
        }
    }
    zone.header()->overrides.store(place);
}

void read_answers(const Zone& zone, Input* in) {
    AnswerPart part;
    uint64_t last_set = kAnswerSets;
    uint32_t place = 0;
    while (in->take(&part) && part.way != 0) {
        place = part.set == last_set ? place + 1 : 0;
        last_set = part.set;
        if (part.set < kAnswerSets && place < kAnswerWays) {
            zone.answers(static_cast<uint32_t>(part.set))->ways[place].store(part.way);
        }
    }
}

/** Brings a state up to this moment, and makes it count by the zone's clock. */
void move_state(const Zone& zone, const Clocks& clocks, State* state) {
    uint32_t policy = state->head.policy;
    bool is_shared = zone.policy(policy)->is_shared != 0;
    Limit limit = likely_limit(zone, policy, *state);
    uint64_t refused = state->head.refused;
    uint64_t spent = state->head.spent;
    // The shared clock is the wall's, and goes on.
    Now then = is_shared ? shared_now(zone, clocks.now) : clocks.then;
    advance(limit, state, then);
    if (limit.algorithm == Algorithm::kTokenBucket && !is_shared) {
        token_bucket::Level level = token_bucket::unpack(state->pair);
        level.at = clocks.now.monotonic;
        state->pair = token_bucket::pack(level, policy, false);
    }
    if (limit.algorithm == Algorithm::kSlidingWindow && !limit.by_wall) {
        sliding_window::move_clock(&state->sliding_window, clocks.then.monotonic,
                                   clocks.now.monotonic);
    }
    state->head.refused = refused != 0;
    state->head.spent = spent != 0;
}

bool is_of_kind(const Zone& zone, const State& state, const Geometry& geometry) {
    uint32_t policy = state.head.policy;
    if (policy == 0 || zone.policy(policy)->name_size == 0) {
        return false;
    }
    Algorithm algorithm = zone.policy(policy)->slowest.algorithm;
    return geometry_of(algorithm).cells == geometry.cells && !has_flights(algorithm) &&
           algorithm != Algorithm::kLedger;
}

template <typename Part>
void read_entries(const Zone& zone, const Geometry& geometry, const Clocks& clocks, Input* in) {
    Part part;
    while (in->take(&part) && part.tag != 0) {
        State state{};
        std::memcpy(state.words, part.words, sizeof(part.words));
        if (zone.buckets(geometry) == 0 || !is_of_kind(zone, state, geometry)) {
            continue;
        }
        move_state(zone, clocks, &state);
        Now now = now_of_policy(zone, state.head.policy, clocks.now);
        Appraisal worth = appraise_state(zone, state, now);
        if (worth.worth != Worth::kNothing) {
            place_entry(zone, geometry, part.tag, state, worth, now);
        }
    }
}

/** What was held for a request that has not come to its end is charged, as of a worker that was
 * killed. */
void charge_held(Journal* journal, const FlightRecord& record, Now now) {
    const Zone& zone = journal->zone();
    uint32_t policy = static_cast<uint32_t>(record.used_policy);
    if (policy == 0 || zone.policy(policy)->name_size == 0) {
        return;
    }
    const Limit& limit = find_limit(zone, policy, static_cast<uint32_t>(record.limit_number));
    uint64_t tag = tag_of(tag_of(record.tag, static_cast<uint32_t>(record.policy)), policy);
    settle(journal, {&limit, tag, policy, record.amount, nullptr, false},
           now_of_policy(zone, policy, now));
}

}  // namespace

StateFault check_state(std::string_view file) {
    if (!has_magic(file)) {
        return StateFault::kForeign;
    }
    uint32_t format = 0;
    uint32_t layout = 0;
    std::memcpy(&format, file.data() + offsetof(StateFileHead, format), sizeof(format));
    std::memcpy(&layout, file.data() + offsetof(StateFileHead, layout), sizeof(layout));
    if (format != kStateFormat || layout != kLayoutVersion) {
        bool is_newer =
            format > kStateFormat || (format == kStateFormat && layout > kLayoutVersion);
        return is_newer ? StateFault::kNewer : StateFault::kOlder;
    }
    if (file.size() < sizeof(StateFileHead) + kSumBytes) {
        return StateFault::kDamaged;
    }
    uint64_t sum = 0;
    size_t summed = file.size() - kSumBytes;
    std::memcpy(&sum, file.data() + summed, kSumBytes);
    return XXH3_64bits(file.data(), summed) == sum ? StateFault::kNone : StateFault::kDamaged;
}

bool read_state_origin(std::string_view head, StateOrigin* origin) {
    if (!has_magic(head)) {
        return false;
    }
    std::memcpy(origin, head.data() + offsetof(StateFileHead, origin), sizeof(*origin));
    return true;
}

const uint8_t* secret_of_state(std::string_view file) {
    return reinterpret_cast<const uint8_t*>(file.data()) + offsetof(StateFileHead, secret);
}

void read_state(std::string_view file, Journal* to, Now now) {
    const Zone& zone = to->zone();
    Input in(file.substr(0, file.size() - kSumBytes));
    StateFileHead head;
    in.take(&head);
    ZoneHeader* header = zone.header();
    header->uses = head.uses;
    header->idle_evictions.store(head.idle_evictions);
    header->live_evictions.store(head.live_evictions);
    header->no_room.store(head.no_room);
    if (head.shared_base != 0) {
        header->shared_base.store(head.shared_base);
        header->shared_offset.store(now.wall - now.monotonic);
    }
    Clocks clocks = clocks_of(head, now);
    read_policies(zone, &in);
    read_overrides(zone, clocks, &in);
    read_answers(zone, &in);
    Input held = in;
    FlightRecord record;
    while (in.take(&record) && record.tag != 0) {
    }
    read_entries<SmallPart>(zone, kSmall, clocks, &in);
    read_entries<WidePart>(zone, kWide, clocks, &in);
    while (held.take(&record) && record.tag != 0) {
        charge_held(to, record, now);
    }
}

}  // namespace ai_limit
