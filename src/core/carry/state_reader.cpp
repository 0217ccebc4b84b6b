#include <cstring>

#include "core/buckets/insert_entry.h"
#include "core/carry/state_version.h"
#include "core/decide/settlement.h"
#include "core/learn/habits.h"
#include "core/limits/algorithm.h"
#include "core/observe/models.h"
#include "core/policies/likely_limit.h"
#include "core/policies/overrides.h"
#include "core/policies/policies.h"
#include "core/policies/redis_clock.h"

namespace ai_limit {

namespace {

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
    for (uint32_t i = 0; i < kCountFields; ++i) {
        (counts->*PolicyCounts::kAll[i]).store(part.counts.*CountSums::kAll[i]);
    }
}

void read_policies(const Zone& zone, const StateVersion& version, StateParts* in) {
    PolicyPart part;
    while (take_policy(version, in, &part) && part.number != 0) {
        read_policy(zone, part);
    }
}

void read_overrides(const Zone& zone, const Clocks& clocks, StateParts* in) {
    OverridePart part;
    uint32_t place = 0;
    while (in->take(&part) && part.tag != 0) {
        if (place == kMaxOverrides) {
            continue;
        }
        Override* to = zone.override_at(place);
        std::memcpy(static_cast<void*>(to), part.override_bytes, sizeof(part.override_bytes));
        to->expires_at += clocks.now.monotonic - clocks.then.monotonic;
        bool is_known = zone.policy(to->policy)->name_size != 0;
        if (to->expires_at > clocks.now.monotonic && is_known) {
            zone.override_tag(place++)->store(part.tag);
        }
    }
    zone.header()->overrides.store(place);
}

void read_answers(const Zone& zone, StateParts* in) {
    ChargedAnswerPart part;
    uint64_t last_set = kAnswerSets + kPartSets;
    uint32_t place = 0;
    while (in->take(&part) && part.way != 0) {
        place = part.set == last_set ? place + 1 : 0;
        last_set = part.set;
        if (part.set < kAnswerSets && place < kAnswerWays) {
            zone.answers(static_cast<uint32_t>(part.set))->ways[place].store(part.way);
        } else if (part.set >= kAnswerSets && place < kPartWays) {
            const auto set = static_cast<uint32_t>(part.set - kAnswerSets);
            PartSet::Way* to = &zone.answer_parts(set)->ways[place];
            to->amounts.store(part.amounts);
            to->way.store(part.way);
        }
    }
}

/** Brings a state up to this moment, and makes it count by the zone's clock. */
void move_state(const Zone& zone, const Clocks& clocks, State* state) {
    uint32_t policy = state->head.policy;
    bool in_redis = zone.policy(policy)->in_redis != 0;
    Limit limit = likely_limit(zone, policy, *state);
    uint64_t refused = state->head.refused;
    uint64_t spent = state->head.spent;
    // The Redis clock is the wall's, and goes on.
    Now then = in_redis ? redis_time(zone, clocks.now) : clocks.then;
    advance(limit, state, then);
    if (!in_redis) {
        row_of(limit.algorithm)
            .move_clock(limit, state, clocks.then.monotonic, clocks.now.monotonic);
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
    return geometry_of(algorithm).cells == geometry.cells && outlasts_nginx(algorithm);
}

template <typename Part>
void read_entries(const Zone& zone, const Geometry& geometry, const Clocks& clocks,
                  StateParts* in) {
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
            insert_entry(zone, geometry, part.tag, state, worth, now);
        }
    }
}

void read_habits(const Zone& zone, Now now, StateParts* in) {
    HabitPart part;
    while (in->take(&part) && part.mark != 0) {
        keep_habit(zone, part.mark, part.habit, now.wall);
    }
}

void read_models(const Zone& zone, StateParts* in) {
    ModelPart part;
    while (in->take(&part) && model_of(part).tag.load() != 0) {
        restore_model(zone, model_of(part));
    }
}

/**
 * Charges the tokens reserved for a request that has not ended, as for a worker that was killed.
 */
void charge_reserved(Journal* journal, const FlightRecord& record, Now now) {
    const Zone& zone = journal->zone();
    uint32_t policy = static_cast<uint32_t>(record.used_policy);
    if (policy == 0 || zone.policy(policy)->name_size == 0) {
        return;
    }
    const Limit& limit = find_limit(zone, policy, static_cast<uint32_t>(record.limit_number));
    settle(journal,
           {&limit, tag_of_use(zone, record, limit), policy, record.amount, nullptr, false},
           now_of_policy(zone, policy, now));
}

}  // namespace

void read_state(std::string_view file, Journal* to, Now now) {
    const Zone& zone = to->zone();
    StateParts in(file);
    StateFileHead head{};
    in.take(&head);
    StateVersion version{};
    find_state_version(head.format, head.layout, &version);
    ZoneHeader* header = zone.header();
    header->uses = head.uses;
    header->idle_evictions.store(head.idle_evictions);
    header->live_evictions.store(head.live_evictions);
    header->zone_full.store(head.zone_full);
    if (head.redis_clock_base != 0) {
        header->redis_clock_base.store(head.redis_clock_base);
        header->redis_clock_offset.store(now.wall - now.monotonic);
    }
    Clocks clocks = clocks_of(head, now);
    read_policies(zone, version, &in);
    read_overrides(zone, clocks, &in);
    read_answers(zone, &in);
    StateParts reserved = in;
    FlightRecord record;
    while (in.take(&record) && record.tag != 0) {
    }
    read_entries<SmallPart>(zone, kSmall, clocks, &in);
    read_entries<WidePart>(zone, kWide, clocks, &in);
    if (version.has_habits) {
        read_habits(zone, now, &in);
    }
    if (version.has_models) {
        read_models(zone, &in);
    }
    while (reserved.take(&record) && record.tag != 0) {
        charge_reserved(to, record, now);
    }
}

}  // namespace ai_limit
