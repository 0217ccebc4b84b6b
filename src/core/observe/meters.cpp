#include "core/observe/meters.h"

#include <cstring>

#include "core/observe/sharer_names.h"
#include "core/turns/queue.h"

namespace ai_limit {

namespace {

bool has_name(const PolicyRecord& record, std::string_view name) {
    return record.name_size == name.size() &&
           std::memcmp(record.name, name.data(), name.size()) == 0;
}

uint64_t read(const std::atomic<uint64_t>& count) {
    return count.load(std::memory_order_relaxed);
}

/** True if the record's amounts are in the unit of `measure`. */
bool is_in_unit(const PolicyRecord& record, Measure measure) {
    return facts_of(record.slowest.measure).in_millionths == facts_of(measure).in_millionths;
}

void add_record(const PolicyRecord& record, Measure measure, PolicyTotals* totals) {
    totals->usage_missing += read(record.usage_missing);
    totals->cut += read(record.cut);
    totals->errors += read(record.errors);
    if (is_in_unit(record, measure)) {
        totals->overshoot += read(record.overshoot);
        totals->settled += read(record.settled);
        totals->released += read(record.released);
    }
}

void add_shard(const PolicyCounts& counts, CountSums* sums) {
    for (uint32_t i = 0; i < kCountFields; ++i) {
        sums->*CountSums::kAll[i] += read(counts.*PolicyCounts::kAll[i]);
    }
}

void add_shards(const Zone& zone, uint32_t policy, CountSums* sums) {
    for (uint32_t shard = 0; shard < kCountShards; ++shard) {
        add_shard(*zone.counts(policy, shard), sums);
    }
}

}  // namespace

CountSums sum_counts(const Zone& zone, uint32_t policy) {
    CountSums sums{};
    add_shards(zone, policy, &sums);
    return sums;
}

void count_tokens(PolicyCounts* counts, const TokenCounts& used) {
    each_usage_meter([&](const UsageMeter& meter) {
        if (used.*meter.used != 0) {
            (counts->*meter.count).fetch_add(used.*meter.used, std::memory_order_relaxed);
        }
    });
}

PolicyTotals read_totals(const Zone& zone, std::string_view name, Measure measure) {
    PolicyTotals totals{};
    for (uint32_t number = 1; number <= kMaxPolicies; ++number) {
        const PolicyRecord& record = *zone.policy(number);
        if (!has_name(record, name)) {
            continue;
        }
        add_record(record, measure, &totals);
        add_shards(zone, number, &totals);
    }
    return totals;
}

uint64_t charged_on(const Zone& zone, std::string_view name, Measure measure, DayNumber day) {
    uint64_t sum = 0;
    for (uint32_t number = 1; number <= kMaxPolicies; ++number) {
        const PolicyRecord& record = *zone.policy(number);
        if (has_name(record, name) && is_in_unit(record, measure)) {
            sum += count_of_day(record.day_start, record.settled, day);
        }
    }
    return sum;
}

void count_wait(PolicyCounts* counts, Millis waited) {
    const WaitMeter* meter = kWaitMeters;
    while (waited > meter->longest) {
        ++meter;
    }
    count_one(&(counts->*meter->count));
    counts->waited_millis.fetch_add(static_cast<uint64_t>(waited), std::memory_order_relaxed);
}

void read_loads(const Zone& zone, PolicyLoad* loads) {
    for (uint32_t i = 0; i < zone.sizes().queues; ++i) {
        const KeyQueue& queue = *zone.queue(i);
        const uint32_t policy = queue.policy.load(std::memory_order_relaxed);
        if (queue.tag.load(std::memory_order_acquire) != 0 && policy <= kMaxPolicies) {
            loads[policy].waiting += waiting_in(queue).count;
        }
    }
    for (uint32_t chunk = 0; chunk < zone.sizes().flight_chunks; ++chunk) {
        if (zone.chunk_owner(chunk)->load(std::memory_order_relaxed) == 0) {
            continue;
        }
        const FlightRecord* records = zone.flights(chunk);
        for (uint32_t i = 0; i < kFlightsPerChunk; ++i) {
            // Written through a journal, the tag last; what is read half is one request.
            FlightRecord flight = records[i];
            if (flight.tag == 0) {
                continue;
            }
            if (flight.used_policy != 0) {
                loads[flight.used_policy].reserved += flight.amount;
            } else {
                loads[flight.policy].in_flight += flight.amount;
            }
        }
    }
}

uint64_t count_entries(const Zone& zone) {
    // Each process's own may be below zero; the sum is not.
    uint64_t sum = 0;
    for (uint32_t number = 1; number <= kMaxProcesses; ++number) {
        sum += __atomic_load_n(zone.tally(number), __ATOMIC_RELAXED);
    }
    uint64_t most = count_cells(zone);
    return sum <= most ? sum : sum > UINT64_MAX / 2 ? 0 : most;
}

uint64_t count_cells(const Zone& zone) {
    return zone.buckets(kSmall) * kSmall.cells + zone.buckets(kWide) * kWide.cells;
}

void forget_counts(const Zone& zone, uint32_t policy) {
    for (uint32_t shard = 0; shard < kCountShards; ++shard) {
        PolicyCounts* counts = zone.counts(policy, shard);
        for (auto count : PolicyCounts::kAll) {
            (counts->*count).store(0, std::memory_order_relaxed);
        }
    }
    for (auto& lists : zone.top_keys(policy)->lists) {
        for (TopList& list : lists) {
            list.epoch.store(0, std::memory_order_relaxed);
        }
    }
    zone.day_keys(policy)->epoch.store(0, std::memory_order_relaxed);
    if (zone.has_sharers()) {
        forget_sharers(zone.sharer_names(policy));
    }
    zone.history(policy)->written.store(0, std::memory_order_relaxed);
}

void copy_counts(const Zone& from, const Zone& to) {
    for (uint32_t number = 1; number <= kMaxPolicies; ++number) {
        if (from.policy(number)->name_size == 0) {
            continue;
        }
        std::memcpy(static_cast<void*>(to.counts(number, 0)),
                    static_cast<const void*>(from.counts(number, 0)),
                    sizeof(PolicyCounts) * kCountShards);
        std::memcpy(static_cast<void*>(to.top_keys(number)),
                    static_cast<const void*>(from.top_keys(number)), sizeof(TopKeys));
        std::memcpy(static_cast<void*>(to.day_keys(number)),
                    static_cast<const void*>(from.day_keys(number)), sizeof(TopList));
        std::memcpy(static_cast<void*>(to.history(number)),
                    static_cast<const void*>(from.history(number)), sizeof(History));
    }
    std::memcpy(static_cast<void*>(to.models()), static_cast<const void*>(from.models()),
                sizeof(ModelTable));
    to.header()->idle_evictions.store(read(from.header()->idle_evictions));
    to.header()->live_evictions.store(read(from.header()->live_evictions));
    to.header()->zone_full.store(read(from.header()->zone_full));
    to.header()->unknown_prices.store(read(from.header()->unknown_prices));
}

}  // namespace ai_limit
