#pragma once

// The layout of a policy's statistics in shared memory: counts (meters.h), the keys that stand out
// (top_keys.h), the last minutes (history.h). No decision depends on them, so they are written
// without locks. A process that is killed leaves at most one request uncounted.

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ai_limit {

/** Processes share so many copies of each count, in lines of their own, so that they seldom wait
 * for each other. */
constexpr uint32_t kCountShards = 8;

struct alignas(64) PolicyCounts {
    std::atomic<uint64_t> passed, rejected, rejected_dry_run;  // requests
    std::atomic<uint64_t> input_tokens, output_tokens;         // that were used
    // parts of the input
    std::atomic<uint64_t> cached_input_tokens, cache_write_tokens, cache_write_1h_tokens,
        audio_input_tokens;
    // parts of the output
    std::atomic<uint64_t> reasoning_tokens, audio_output_tokens;
    std::atomic<uint64_t> images, searches, seconds;
    // Parts of the rejected requests: no wait helps the first ones, the others' limit is 0.
    std::atomic<uint64_t> rejected_never, rejected_blocked;
};
static_assert(sizeof(PolicyCounts) == 128);

constexpr uint32_t kTopSets = 8;
constexpr uint32_t kTopWays = 4;

/** Keys by their tags, and what each is counted with. */
struct alignas(64) TopSet {
    std::atomic<uint64_t> tags[kTopWays];  // 0: a free place
    std::atomic<uint64_t> counts[kTopWays];
};
static_assert(sizeof(TopSet) == 64);

constexpr size_t kMaxTopKeyText = 118;

/** The way in which a key is shown. */
struct TopLabel {
    std::atomic<uint64_t> inherited;  // of the count: it was there when the key took this place
    uint8_t size;
    uint8_t is_whole;  // the text is the key itself
    char text[kMaxTopKeyText];
};
static_assert(sizeof(TopLabel) == 128);

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
};

struct History {
    std::atomic<uint64_t> written;  // samples so far; number n lies in samples[n % kHistorySamples]
    HistorySample samples[kHistorySamples];
};

}  // namespace ai_limit
