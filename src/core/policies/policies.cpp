#include "core/policies/policies.h"

#include <cstring>

#include "core/buckets/period_entries.h"
#include "core/observe/meters.h"
#include "core/policies/likely_limit.h"
#include "core/policies/overrides.h"
#include "core/zone/table.h"

namespace ai_limit {

namespace {

/**
 * True if the record is that of this policy. Counts in requests are not read as tokens, but a limit
 * from a variable may have held either.
 */
bool is_of(const PolicyRecord& record, std::string_view name, const Limit& limit, bool varies) {
    return record.name_size == name.size() && record.slowest.algorithm == limit.algorithm &&
           record.slowest.by_wall == limit.by_wall &&
           (record.slowest.measure == limit.measure || varies || record.varies) &&
           std::memcmp(record.name, name.data(), name.size()) == 0;
}

/**
 * Returns the policy's number, 0 for none. Among several that it has had, it is the one that it
 * used last.
 */
uint32_t find_number(const Zone& zone, std::string_view name, const Limit& limit, bool varies) {
    uint32_t found = 0;
    for (uint32_t number = 1; number <= kMaxPolicies; ++number) {
        if (is_of(*zone.policy(number), name, limit, varies) &&
            (found == 0 || zone.policy(number)->last_use > zone.policy(found)->last_use)) {
            found = number;
        }
    }
    return found;
}

/** Empties those cells of a policy whose state is one that `is_meant` says. */
template <typename IsMeant>
void purge(Journal* journal, const Geometry& geometry, uint32_t policy, const IsMeant& is_meant) {
    const Zone& zone = journal->zone();
    for (uint64_t i = 0; i < zone.buckets(geometry); ++i) {
        Bucket* bucket = zone.bucket(geometry, i);
        journal->lock(bucket);
        for (uint32_t cell = 0; cell < geometry.cells; ++cell) {
            State state{};
            load_state({bucket, cell}, geometry, &state);
            if (bucket->tags[cell] != 0 && state.head.policy == policy && is_meant(state)) {
                store_tag(journal, {bucket, cell}, 0);
            }
        }
        journal->finish();
    }
}

uint32_t free_number(Journal* journal) {
    const Zone& zone = journal->zone();
    uint32_t oldest = 1;
    for (uint32_t number = 1; number <= kMaxPolicies; ++number) {
        if (zone.policy(number)->name_size == 0) {
            return number;
        }
        if (zone.policy(number)->last_use < zone.policy(oldest)->last_use) {
            oldest = number;
        }
    }
    zone.policy(oldest)->name_size = 0;
    const auto each = [](const State&) { return true; };
    purge(journal, kSmall, oldest, each);
    purge(journal, kWide, oldest, each);
    return oldest;
}

/** Returns the time that the limit takes to forget what was used, for comparison. */
Millis memory_of(const Limit& limit) {
    return limit.algorithm == Algorithm::kTokenBucket ? limit.fills_in : limit.period_length;
}

bool is_same(const Limit& a, const Limit& b) {
    return a.measure == b.measure && a.capacity == b.capacity &&
           a.refill_amount == b.refill_amount && a.refill_millis == b.refill_millis &&
           a.period_length == b.period_length && a.period.unit == b.period.unit &&
           a.period.count == b.period.count && a.time_zone == b.time_zone;
}

/** The number of a rate by its refill_millis; kNoRateNumber once there are too many. */
uint8_t rate_number(PolicyRecord* record, uint64_t refill_millis) {
    for (uint8_t i = 0; i < kNoRateNumber - 1; ++i) {
        uint64_t present = 0;
        if (record->refill_millis[i].compare_exchange_strong(present, refill_millis) ||
            present == refill_millis) {
            return static_cast<uint8_t>(i + 1);
        }
    }
    return kNoRateNumber;
}

/**
 * The number of a limit among those that the policy has had; 0 once there are too many. The place
 * of a process that was killed while it wrote stays unused.
 */
uint8_t limit_number(PolicyRecord* record, const Limit& limit) {
    for (uint8_t i = 0; i < kMaxKnownLimits; ++i) {
        KnownLimit* known = &record->limits[i];
        uint32_t state = KnownLimit::kFree;
        if (known->state.compare_exchange_strong(state, KnownLimit::kBeingWritten)) {
            known->limit = limit;
            known->limit.number = static_cast<uint8_t>(i + 1);
            known->state.store(KnownLimit::kKnown, std::memory_order_release);
            return static_cast<uint8_t>(i + 1);
        }
        if (state == KnownLimit::kKnown && is_same(known->limit, limit)) {
            return static_cast<uint8_t>(i + 1);
        }
    }
    return 0;
}

/** A period as a record keeps it, 0 for none. A month is not 30 days, although it is as long here.
 */
uint64_t period_word(const Limit& limit) {
    return static_cast<uint64_t>(limit.period_length) << 1 |
           uint64_t{limit.period.unit == PeriodUnit::kMonth};
}

/** True if two such periods are equally long, so that their entries cannot be distinguished. */
bool is_as_long(uint64_t one, uint64_t other) {
    return one >> 1 == other >> 1;
}

/** Which of a key's entries counts for the limit's period; those that come too late share one. */
uint8_t variant_of(PolicyRecord* record, const Limit& limit) {
    uint64_t period = period_word(limit);
    for (uint8_t variant = 0; variant < kMaxVariants; ++variant) {
        uint64_t present = 0;
        if (record->periods[variant].compare_exchange_strong(present, period) ||
            present == period) {
            return variant;
        }
    }
    record->has_too_many_periods.store(1);
    record->periods[kMaxVariants - 1].store(period);
    return kMaxVariants - 1;
}

/** Takes the limit for the policy's slowest where it is; one of nothing has no memory. */
void note_slowness(PolicyRecord* record, const Limit& limit) {
    if (limit.capacity != 0 && memory_of(limit) > memory_of(record->slowest)) {
        record->slowest = limit;
    }
}

/** Keys with overrides have entries that the configured limit would judge wrongly. */
void note_slowness_of_overrides(const Zone& zone, uint32_t policy) {
    // One that is over may be among them: its entries are kept longer than they need be.
    constexpr Millis kAnyTime = 0;
    OverrideView found;
    for (uint32_t place = 0; place < kMaxOverrides; ++place) {
        if (read_override(zone, place, kAnyTime, &found) && found.policy == policy &&
            found.limit.measure == zone.policy(policy)->slowest.measure) {
            note_slowness(zone.policy(policy), found.limit);
        }
    }
}

/** True if a key may be limited by this period: by an override, or by the configuration before. */
bool is_in_use(const Zone& zone, uint32_t policy, uint64_t period) {
    if (is_as_long(period_word(zone.policy(policy)->slowest), period)) {
        return true;
    }
    constexpr Millis kAnyTime = 0;
    OverrideView found;
    for (uint32_t place = 0; place < kMaxOverrides; ++place) {
        if (read_override(zone, place, kAnyTime, &found) && found.policy == policy &&
            is_as_long(period_word(found.limit), period)) {
            return true;
        }
    }
    return false;
}

/** Removes what was counted in a period, and the limits that had it with its variant. */
void forget_period(Journal* journal, uint32_t policy, const Limit& like, uint64_t period) {
    Limit old = like;
    old.period_length = static_cast<Millis>(period >> 1);
    old.period.unit = (period & 1) != 0 ? PeriodUnit::kMonth : PeriodUnit::kDay;
    for (KnownLimit& known : journal->zone().policy(policy)->limits) {
        if (known.state.load() == KnownLimit::kKnown && period_word(known.limit) == period) {
            known.state.store(KnownLimit::kFree);
        }
    }
    purge(journal, geometry_of(like.algorithm), policy,
          [&](const State& state) { return fits_entry(old, state); });
}

/**
 * Makes room for the period of a configured limit. If it is new and there are kMaxVariants others,
 * it replaces one that no longer limits any key.
 */
void make_room_for_period(Journal* journal, uint32_t policy, const Limit& limit) {
    PolicyRecord* record = journal->zone().policy(policy);
    uint64_t period = period_word(limit);
    for (const std::atomic<uint64_t>& present : record->periods) {
        if (present.load() == period || present.load() == 0) {
            return;
        }
    }
    for (std::atomic<uint64_t>& present : record->periods) {
        if (!is_in_use(journal->zone(), policy, present.load())) {
            forget_period(journal, policy, limit, present.load());
            present.store(period);
            return;
        }
    }
}

void give_numbers(PolicyRecord* record, Limit* limit) {
    limit->variant = has_window(limit->algorithm) ? variant_of(record, *limit) : uint8_t{0};
    limit->rate_number = rate_number(record, limit->refill_millis);
    limit->number = limit_number(record, *limit);
}

/** The limit that stands in for a variable's takes no number and no period: nothing is decided by
 * it. */
void give_numbers_of_policy(PolicyRecord* record, Limit* limit, bool varies) {
    if (varies && has_window(limit->algorithm)) {
        limit->rate_number = kNoRateNumber;
        limit->number = 0;
        limit->variant = 0;
    } else {
        give_numbers(record, limit);
    }
}

}  // namespace

uint32_t register_policy(Journal* journal, std::string_view name, Limit* limit, bool varies) {
    const Zone& zone = journal->zone();
    uint32_t use = ++zone.header()->uses;
    uint32_t number = find_number(zone, name, *limit, varies);
    if (number != 0) {
        PolicyRecord* record = zone.policy(number);
        record->last_use = use;
        record->varies = varies;
        record->has_too_many_periods.store(0);
        // The limits that a variable holds are not known.
        if (!varies && has_window(limit->algorithm)) {
            make_room_for_period(journal, number, *limit);
        }
        give_numbers_of_policy(record, limit, varies);
        if (!varies) {
            record->slowest = *limit;
            note_slowness_of_overrides(zone, number);
        }
        return number;
    }
    number = free_number(journal);
    PolicyRecord* record = zone.policy(number);
    std::memcpy(record->name, name.data(), name.size());
    record->last_use = use;
    record->varies = varies;
    for (std::atomic<uint64_t>* count :
         {&record->errors, &record->overshoot, &record->usage_missing, &record->cut,
          &record->settled, &record->released, &record->day_start, &record->slot_duration}) {
        count->store(0, std::memory_order_relaxed);
    }
    for (std::atomic<uint64_t>& refill : record->refill_millis) {
        refill.store(0);
    }
    for (KnownLimit& known : record->limits) {
        known.state.store(KnownLimit::kFree);
    }
    for (std::atomic<uint64_t>& period : record->periods) {
        period.store(0);
    }
    record->has_too_many_periods.store(0);
    record->other_units.store(0);
    forget_counts(zone, number);
    forget_overrides(zone, number);
    give_numbers_of_policy(record, limit, varies);
    record->slowest = *limit;
    // The size makes the record one that is in use; a process killed before has changed nothing.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    record->name_size = static_cast<uint32_t>(name.size());
    return number;
}

void note_limit(const Zone& zone, uint32_t policy, Limit* limit) {
    PolicyRecord* record = zone.policy(policy);
    give_numbers(record, limit);
    // Two processes may write at once. Both have a limit of this policy, and it only ranks
    // evictions.
    note_slowness(record, *limit);
}

const Limit& find_limit(const Zone& zone, uint32_t policy, uint32_t number) {
    const PolicyRecord* record = zone.policy(policy);
    // The number may be one that the policy had before this record was another's.
    if (number == 0 ||
        record->limits[number - 1].state.load(std::memory_order_acquire) != KnownLimit::kKnown) {
        return record->slowest;
    }
    return record->limits[number - 1].limit;
}

bool has_too_many_periods(const Zone& zone, uint32_t policy) {
    const PolicyRecord* record = zone.policy(policy);
    return record->in_redis == 0 && record->has_too_many_periods.load() != 0;
}

uint64_t count_error(const Zone& zone, uint32_t policy) {
    return zone.policy(policy)->errors.fetch_add(1, std::memory_order_relaxed) + 1;
}

uint64_t count_missing_usage(const Zone& zone, uint32_t policy) {
    return zone.policy(policy)->usage_missing.fetch_add(1, std::memory_order_relaxed) + 1;
}

void count_settled(const Zone& zone, uint32_t policy, Amount charged, Amount reserved,
                   DayNumber day) {
    PolicyRecord* record = zone.policy(policy);
    begin_day(&record->day_start, record->settled, day);
    record->settled.fetch_add(charged, std::memory_order_relaxed);
    record->released.fetch_add(reserved, std::memory_order_relaxed);
}

void count_cut(const Zone& zone, uint32_t policy) {
    zone.policy(policy)->cut.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace ai_limit
