#pragma once

// The counts of tokens that an answer reports, field by field, and their total.

#include <cstddef>
#include <cstdint>

#include "core/counts/token_counts.h"
#include "core/words/types.h"

namespace ai_limit {

/**
 * The source of a count. If several report it, the first one that knows it counts. A 0 of the API
 * is no knowledge if another source reports more.
 */
enum class UsageSource : uint8_t {
    kConfigured,  // where `ai_limit_usage` says
    kModel,       // the API of the model, in its usage object
    kSteps,       // the same, as the sum over all calls of a model (Anthropic's `iterations`)
    // elsewhere: headers, Bedrock's metrics, what Cohere bills, which leaves something out
    kBeside
};
constexpr size_t kUsageSources = 4;

/** The meaning of a number. Each field name that providers use means one of these. */
enum class UsageField : uint8_t {
    kPrompt,        // input, cached input included
    kInput,         // input, without kCacheRead and kCacheWrite
    kToolInput,     // input that tools added; beside kPrompt
    kCacheRead,     // input that came from a cache; beside kInput
    kCacheWrite,    // input that went into one; beside kInput
    kCacheWrite5m,  // a part of kCacheWrite: kept for 5 minutes
    kCacheWrite1h,  // the rest of it: kept for an hour
    kCached,        // input that came from a cache; a part of kPrompt or kInput
    kWritten,       // input that went into one; a part of kPrompt or kInput
    kAudioInput,    // a part of the input
    kOutput,
    kThoughts,     // beside kOutput
    kReasoning,    // a part of kOutput, unless kTotal shows that it is none
    kAudioOutput,  // a part of kOutput
    kTotal,        // input and output
    kTrueTotal,    // the same, and it decides: what is not prompt is output
    kImages,
    kSearches,
    kSeconds,  // of sound
    kCost      // in millionths of a dollar
};
constexpr size_t kUsageFields = 20;

/** The decimals by which a field's number is shifted: it is in dollars in answers. */
constexpr int decimals_of(UsageField field) {
    return field == UsageField::kCost ? 6 : 0;
}

/** The whole report of an answer. */
struct ReportedUsage {
    TokenCounts counts;  // 0 if not reported; no more than kMaxAmount each
    bool has_input = false;
    bool has_output = false;  // also where the input is a total that holds the output
    bool is_total = false;    // it is, and nothing else is known of the output
};

/** The largest value of each field. Trivially copyable. */
class UsageCounts {
public:
    /**
     * Sets a count, at most kMaxAmount. A smaller value, such as a 0, never replaces a larger one:
     * if an API reports a count more than once in an answer, the count grows.
     */
    void set(UsageSource source, UsageField field, Amount value);

    /** Something is known of tokens, images, searches or seconds. */
    bool has_any() const;

    /** All of it together. */
    ReportedUsage reported() const;

private:
    struct Reader;

    uint32_t known_[kUsageSources] = {};  // a bit for each field
    Amount values_[kUsageSources][kUsageFields];
};

/** The field adds to what is known of the output. */
constexpr bool reports_output(UsageField field) {
    return field == UsageField::kOutput || field == UsageField::kThoughts ||
           field == UsageField::kTotal || field == UsageField::kTrueTotal;
}

}  // namespace ai_limit
