#pragma once

// The layout of the statistics in shared memory: a policy's counts (meters.h), the keys that stand
// out (top_keys.h), the last minutes (history.h), and the counts of models (models.h). No decision
// depends on them, so they are written without locks. A process that is killed leaves at most one
// request uncounted.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "core/zone/shown_name.h"

namespace ai_limit {

/** Processes share so many copies of each count, in lines of their own, so that they seldom wait
 * for each other. */
constexpr uint32_t kCountShards = 8;

/**
 * What is counted of a policy's requests. A new count is one more field here, behind the last, and
 * its row in `kAll`. The layout of the zone and of the state file follows from it.
 */
template <typename Number>
struct CountFields {
    Number passed, rejected, rejected_dry_run;  // requests
    Number input_tokens, output_tokens;         // that were used
    // parts of the input
    Number cached_input_tokens, cache_write_tokens, cache_write_1h_tokens, audio_input_tokens;
    // parts of the output
    Number reasoning_tokens, audio_output_tokens;
    Number images, searches, seconds;
    // Parts of the rejected requests: no wait helps the first ones, the others' limit is 0.
    Number rejected_never, rejected_blocked;
    Number output_lowered;  // passed requests whose limit of output nginx has lowered or set
    // Requests that have waited for their turn, by how long: no longer than, but longer than the
    // one before.
    Number waits_100ms, waits_1s, waits_5s, waits_30s, waits_longer;
    Number waited_millis;  // by all of them
    Number warned;         // keys that passed the part of their limit that warn= names

    /** All of them, to be summed up, saved and forgotten. */
    static constexpr Number CountFields::*kAll[] = {
        &CountFields::passed,
        &CountFields::rejected,
        &CountFields::rejected_dry_run,
        &CountFields::input_tokens,
        &CountFields::output_tokens,
        &CountFields::cached_input_tokens,
        &CountFields::cache_write_tokens,
        &CountFields::cache_write_1h_tokens,
        &CountFields::audio_input_tokens,
        &CountFields::reasoning_tokens,
        &CountFields::audio_output_tokens,
        &CountFields::images,
        &CountFields::searches,
        &CountFields::seconds,
        &CountFields::rejected_never,
        &CountFields::rejected_blocked,
        &CountFields::output_lowered,
        &CountFields::waits_100ms,
        &CountFields::waits_1s,
        &CountFields::waits_5s,
        &CountFields::waits_30s,
        &CountFields::waits_longer,
        &CountFields::waited_millis,
        &CountFields::warned,
    };
};

constexpr uint32_t kCountFields = std::size(CountFields<uint64_t>::kAll);
static_assert(sizeof(CountFields<uint64_t>) == kCountFields * sizeof(uint64_t),
              "each count of CountFields needs a row in kAll");

/**
 * The counts of one shard, in three lines of the processor's cache. There is room for 24. One more
 * takes a fourth line: 512 bytes more for each policy that a zone may have.
 */
struct alignas(64) PolicyCounts : CountFields<std::atomic<uint64_t>> {};
static_assert(sizeof(std::atomic<uint64_t>) == sizeof(uint64_t));

/** Raises kLayoutVersion (zone.h) if there are other counts than there were in version 11. */
constexpr uint32_t kCountsShift = 16;
constexpr uint32_t kCountsLayout = (kCountFields - 16) << kCountsShift;

constexpr uint32_t kTopSets = 8;
constexpr uint32_t kTopWays = 4;

/** Keys by their tags, and what each is counted with. */
struct alignas(64) TopSet {
    std::atomic<uint64_t> tags[kTopWays];  // 0: a free place
    std::atomic<uint64_t> counts[kTopWays];
};
static_assert(sizeof(TopSet) == 64);

constexpr size_t kMaxTopKeyText = kMaxShownName;

/** The way in which a key is shown. */
struct TopLabel {
    std::atomic<uint64_t> inherited;  // of the count: it was there when the key took this place
    ShownName key;
    ShownLabel label;
};
static_assert(sizeof(TopLabel) == 192);

struct TopList {
    std::atomic<uint64_t> epoch;  // the time that it counts for, in kTopEpoch; 0: none
    alignas(64) TopSet sets[kTopSets];
    TopLabel labels[kTopSets][kTopWays];
};

constexpr uint32_t kTopMeasures = 3;

/** Two lists for each measure: one for this stretch of time, one for that before. */
struct TopKeys {
    TopList lists[kTopMeasures][2];
};

constexpr uint32_t kHistorySamples = 128;

/** All counts since the policy is known, at one time. */
struct HistorySample {
    std::atomic<uint64_t> passed, rejected, rejected_dry_run, tokens;
    std::atomic<uint64_t> charged;  // in what the policy counts
};

struct History {
    std::atomic<uint64_t> written;  // samples so far; number n lies in samples[n % kHistorySamples]
    HistorySample samples[kHistorySamples];
};

/** A count since the zone was made, and what it was when the day began (day_count.h). */
struct DayCount {
    std::atomic<uint64_t> total, start;
};

/** The use of a model, counted by its answers. */
struct ModelCounts {
    DayCount answers, input, cached_input, output;
    DayCount cost;  // in millionths of a dollar, where there are prices

    static constexpr DayCount ModelCounts::*kAll[] = {
        &ModelCounts::answers, &ModelCounts::input, &ModelCounts::cached_input,
        &ModelCounts::output,  &ModelCounts::cost,
    };
};

constexpr uint32_t kModelRows = 32;
constexpr size_t kMaxModelText = 103;

struct alignas(64) ModelRow {
    std::atomic<uint64_t> tag;  // of the model's name, 0: a free row
    ModelCounts counts;
    uint8_t size;
    char text[kMaxModelText];  // the name as it is shown: plain ASCII
};
static_assert(sizeof(ModelRow) == 192);

/** The models used most, and all others together. */
struct ModelTable {
    ModelRow rows[kModelRows];
    ModelCounts others;
};

}  // namespace ai_limit
