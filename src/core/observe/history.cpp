#include "core/observe/history.h"

#include "core/observe/meters.h"

namespace ai_limit {

namespace {

uint64_t read(const std::atomic<uint64_t>& count) {
    return count.load(std::memory_order_relaxed);
}

void take_sample(const Zone& zone, uint32_t policy) {
    History* history = zone.history(policy);
    uint64_t number = read(history->written);
    HistorySample* sample = &history->samples[number % kHistorySamples];
    CountSums sum = sum_counts(zone, policy);
    sample->passed.store(sum.passed, std::memory_order_relaxed);
    sample->rejected.store(sum.rejected, std::memory_order_relaxed);
    sample->rejected_dry_run.store(sum.rejected_dry_run, std::memory_order_relaxed);
    sample->tokens.store(sum.input_tokens + sum.output_tokens, std::memory_order_relaxed);
    sample->charged.store(read(zone.policy(policy)->settled), std::memory_order_relaxed);
    history->written.store(number + 1, std::memory_order_release);
}

HistoryStep difference(const HistorySample& from, const HistorySample& to) {
    return {read(to.passed) - read(from.passed), read(to.rejected) - read(from.rejected),
            read(to.rejected_dry_run) - read(from.rejected_dry_run),
            read(to.tokens) - read(from.tokens), read(to.charged) - read(from.charged)};
}

}  // namespace

bool take_samples(const Zone& zone, Millis monotonic) {
    std::atomic<int64_t>* next = &zone.header()->next_sample_at;
    int64_t due = next->load(std::memory_order_relaxed);
    if (monotonic < due || !next->compare_exchange_strong(due, monotonic + kSampleInterval)) {
        return false;
    }
    for (uint32_t policy = 1; policy <= kMaxPolicies; ++policy) {
        if (zone.policy(policy)->name_size != 0) {
            take_sample(zone, policy);
        }
    }
    return true;
}

size_t read_history(const Zone& zone, uint32_t policy, HistoryStep* steps) {
    const History& history = *zone.history(policy);
    uint64_t written = history.written.load(std::memory_order_acquire);
    uint64_t count = written > kShownSamples ? kShownSamples : written > 0 ? written - 1 : 0;
    for (uint64_t i = 0; i < count; ++i) {
        uint64_t number = written - count + i;
        steps[i] = difference(history.samples[(number - 1) % kHistorySamples],
                              history.samples[number % kHistorySamples]);
    }
    return count;
}

}  // namespace ai_limit
