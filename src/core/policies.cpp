#include "core/policies.h"

#include <cstring>

namespace ai_limit {

namespace {

bool is_of(const PolicyRecord& record, std::string_view name, Algorithm algorithm) {
    return record.name_size == name.size() && record.slowest.algorithm == algorithm &&
           std::memcmp(record.name, name.data(), name.size()) == 0;
}

/** Empties the cells of a policy whose number is given to another. */
void purge(Journal* journal, const Geometry& geometry, uint32_t policy) {
    const Zone& zone = journal->zone();
    for (uint64_t i = 0; i < zone.buckets(geometry); ++i) {
        Bucket* bucket = zone.bucket(geometry, i);
        journal->lock(bucket);
        for (uint32_t cell = 0; cell < geometry.cells; ++cell) {
            State state{};
            state.words[0] = *state_words(bucket, geometry, cell);
            if (bucket->tags[cell] != 0 && state.head.policy == policy) {
                journal->write(&bucket->tags[cell], 0);
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
    purge(journal, kSmall, oldest);
    purge(journal, kWide, oldest);
    return oldest;
}

/** How long the limit takes to forget what was used, for comparison. */
Millis memory_of(const Limit& limit) {
    return limit.algorithm == Algorithm::kTokenBucket ? limit.fills_in : limit.period_length;
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

}  // namespace

uint32_t register_policy(Journal* journal, std::string_view name, Limit* limit, bool varies) {
    const Zone& zone = journal->zone();
    uint32_t use = ++zone.header()->uses;
    for (uint32_t number = 1; number <= kMaxPolicies; ++number) {
        PolicyRecord* record = zone.policy(number);
        if (is_of(*record, name, limit->algorithm)) {
            record->last_use = use;
            if (!varies) {
                record->slowest = *limit;
            }
            limit->rate_number = rate_number(record, limit->refill_millis);
            return number;
        }
    }
    uint32_t number = free_number(journal);
    PolicyRecord* record = zone.policy(number);
    std::memcpy(record->name, name.data(), name.size());
    record->slowest = *limit;
    record->last_use = use;
    record->errors.store(0, std::memory_order_relaxed);
    for (std::atomic<uint64_t>& refill : record->refill_millis) {
        refill.store(0);
    }
    limit->rate_number = rate_number(record, limit->refill_millis);
    // The size makes the record one that is in use; a process killed before has changed nothing.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    record->name_size = static_cast<uint32_t>(name.size());
    return number;
}

void note_limit(const Zone& zone, uint32_t policy, Limit* limit) {
    PolicyRecord* record = zone.policy(policy);
    // Two processes may write at once. Both have a limit of this policy, and it only ranks
    // evictions.
    if (limit->capacity != 0 && memory_of(*limit) > memory_of(record->slowest)) {
        record->slowest = *limit;
    }
    limit->rate_number = rate_number(record, limit->refill_millis);
}

uint64_t count_error(const Zone& zone, uint32_t policy) {
    return zone.policy(policy)->errors.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace ai_limit
