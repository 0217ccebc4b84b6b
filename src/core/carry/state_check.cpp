// Checks a state file before anything of it is used (state_file.h). The file may come from anybody:
// a checksum protects against a bad disk, and not against a person.

#include <cstring>

#include "core/carry/state_version.h"
#include "core/limits/algorithm.h"
#include "core/observe/models.h"
#include "core/zone/table.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ai_limit {

namespace {

constexpr Millis kMaxTime = Millis{1} << 52;
constexpr Millis kMaxMonotonic = Millis{1} << 38;  // what a token bucket's state has room for

constexpr uint64_t kMaxSlotDuration = uint64_t{1} << 40;  // more than a day in 16ths of a ms

bool is_time(int64_t time) {
    return time >= 0 && time <= kMaxTime;
}

bool is_tag(uint64_t tag) {
    return tag == tag_base(tag);
}

/** The units by which the file's policies count. Their entries and overrides must fit these. */
struct KnownPolicies {
    bool is_known[kMaxPolicies + 1] = {};
    Algorithm algorithms[kMaxPolicies + 1] = {};
};

bool is_sound(const StateFileHead& head) {
    return head.monotonic >= 0 && head.monotonic < kMaxMonotonic && is_time(head.wall) &&
           head.redis_clock_base >= -kMaxTime && head.redis_clock_base <= kMaxTime;
}

bool is_sound(const PolicyPart& part) {
    const PolicyRecord& record = *reinterpret_cast<const PolicyRecord*>(part.record);
    if (part.number > kMaxPolicies || record.name_size == 0 || record.name_size > kMaxPolicyName ||
        record.slot_duration.load() > kMaxSlotDuration || !is_sound(record.slowest)) {
        return false;
    }
    for (uint32_t i = 0; i < kMaxKnownLimits; ++i) {
        const KnownLimit& known = record.limits[i];
        if (known.state.load() == KnownLimit::kKnown &&
            (!is_sound(known.limit) || known.limit.algorithm != record.slowest.algorithm ||
             known.limit.number != i + 1)) {
            return false;
        }
    }
    return true;
}

bool check_policies(const StateVersion& version, StateParts* in, KnownPolicies* policies) {
    PolicyPart part;
    while (take_policy(version, in, &part)) {
        if (part.number == 0) {
            return true;
        }
        if (!is_sound(part)) {
            return false;
        }
        policies->is_known[part.number] = true;
        policies->algorithms[part.number] =
            reinterpret_cast<const PolicyRecord*>(part.record)->slowest.algorithm;
    }
    return false;
}

bool is_sound(const Override& override, const KnownPolicies& policies) {
    return override.version.load() % 2 == 0 && override.policy != 0 &&
           override.policy <= kMaxPolicies && is_sound(override.limit) &&
           (!policies.is_known[override.policy] ||
            override.limit.algorithm == policies.algorithms[override.policy]) &&
           override.limit.number <= kMaxKnownLimits && is_time(override.expires_at) &&
           override.rate_size <= kMaxRateText && override.key_size <= kMaxTopKeyText;
}

bool check_overrides(const KnownPolicies& policies, StateParts* in) {
    OverridePart part;
    while (in->take(&part)) {
        if (part.tag == 0) {
            return true;
        }
        if (!is_tag(part.tag) ||
            !is_sound(*reinterpret_cast<const Override*>(part.override_bytes), policies)) {
            return false;
        }
    }
    return false;
}

bool check_answers(StateParts* in) {
    ChargedAnswerPart part;
    while (in->take(&part)) {
        if (part.way == 0) {
            return true;
        }
        if (part.set >= kAnswerSets + kPartSets) {
            return false;
        }
    }
    return false;
}

/** A record may name policies that the file does not know: it is left out then. */
bool check_reservations(const KnownPolicies& policies, StateParts* in) {
    FlightRecord record;
    while (in->take(&record)) {
        if (record.tag == 0) {
            return true;
        }
        uint32_t policy = static_cast<uint32_t>(record.used_policy);
        Algorithm algorithm = policies.algorithms[policy];
        if (!is_tag(record.tag) || record.amount > kMaxAmount ||
            (policies.is_known[policy] && !outlasts_nginx(algorithm))) {
            return false;
        }
    }
    return false;
}

/** Entries of policies that the file does not know are left out when it is read. */
template <typename Part>
bool check_entries(const KnownPolicies& policies, const Geometry& geometry, StateParts* in) {
    Part part;
    while (in->take(&part)) {
        if (part.tag == 0) {
            return true;
        }
        State state{};
        std::memcpy(state.words, part.words, sizeof(part.words));
        uint32_t policy = state.head.policy;
        Algorithm algorithm = policies.algorithms[policy];
        if (!is_tag(part.tag) ||
            (policies.is_known[policy] && (geometry_of(algorithm).cells != geometry.cells ||
                                           !row_of(algorithm).is_sound_state(state)))) {
            return false;
        }
    }
    return false;
}

/** Any habit is within its bounds. */
bool check_habits(StateParts* in) {
    HabitPart part;
    while (in->take(&part)) {
        if (part.mark == 0) {
            return true;
        }
    }
    return false;
}

bool check_models(StateParts* in) {
    ModelPart part;
    while (in->take(&part)) {
        const ModelRow& row = model_of(part);
        const uint64_t tag = row.tag.load();
        if (tag == 0) {
            return true;
        }
        if (!is_sound(row) || (tag != kNoModelTag && !is_tag(tag))) {
            return false;
        }
    }
    return false;
}

bool is_sound(std::string_view file, const StateVersion& version) {
    StateParts in(file);
    StateFileHead head;
    KnownPolicies policies;
    return in.take(&head) && is_sound(head) && check_policies(version, &in, &policies) &&
           check_overrides(policies, &in) && check_answers(&in) &&
           check_reservations(policies, &in) && check_entries<SmallPart>(policies, kSmall, &in) &&
           check_entries<WidePart>(policies, kWide, &in) &&
           (!version.has_habits || check_habits(&in)) &&
           (!version.has_models || check_models(&in)) && in.is_at_end();
}

bool has_magic(std::string_view file) {
    return file.size() >= kStateHeadBytes &&
           std::memcmp(file.data(), kStateMagic, sizeof(kStateMagic)) == 0;
}

bool has_right_sum(std::string_view file) {
    uint64_t sum = 0;
    size_t summed = file.size() - kStateSumBytes;
    std::memcpy(&sum, file.data() + summed, kStateSumBytes);
    return XXH3_64bits(file.data(), summed) == sum;
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
    StateVersion version;
    if (!find_state_version(format, layout, &version)) {
        bool is_newer =
            format > kStateFormat || (format == kStateFormat && layout > kLayoutVersion);
        return is_newer ? StateFault::kNewer : StateFault::kOlder;
    }
    bool is_whole = file.size() >= sizeof(StateFileHead) + kStateSumBytes;
    return is_whole && has_right_sum(file) && is_sound(file, version) ? StateFault::kNone
                                                                      : StateFault::kDamaged;
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

}  // namespace ai_limit
