#pragma once

// Keeps the counts of a policy in the last minutes, sample by sample.

#include "core/zone/zone.h"

namespace ai_limit {

constexpr Millis kSampleInterval = 5'000;
constexpr uint32_t kShownSamples = 120;  // ten minutes

/** The counts between two samples. */
struct HistoryStep {
    uint64_t passed, rejected, rejected_dry_run, tokens;
    uint64_t charged;  // in what the policy counts
};

/** Takes a sample of every policy where one is due: by one process, whoever comes first. True if
 * that is this one. */
bool take_samples(const Zone& zone, Millis monotonic);

/**
 * Writes the last steps of the policy of that number, the oldest first; returns how many, at most
 * kShownSamples. Takes no locks.
 */
size_t read_history(const Zone& zone, uint32_t policy, HistoryStep* steps);

}  // namespace ai_limit
