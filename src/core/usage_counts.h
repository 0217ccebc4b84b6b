#pragma once

// What an answer says of the tokens it used, field by field, and what that makes in all.

#include <cstddef>
#include <cstdint>

#include "core/token_counts.h"
#include "core/types.h"

namespace ai_limit {

/** Who says it. Of several, the first one that knows counts. */
enum class UsageSource : uint8_t {
    kModel,   // the API of the model, in its usage object
    kServer,  // what stands before it: Bedrock's metrics, headers
    kBilled   // Cohere: what is paid for, which leaves something out
};
constexpr size_t kUsageSources = 3;

/** What a number says. The field names that providers use mean one of these. */
enum class UsageField : uint8_t {
    kPrompt,      // input, cached input included
    kInput,       // input, without what kCacheRead and kCacheWritten tell of
    kCacheRead,   // input that came from a cache; beside kInput
    kCacheWrite,  // input that went into one; beside kInput
    kCached,      // input that came from a cache; a part of kPrompt or kInput
    kOutput,
    kThoughts,   // beside kOutput
    kReasoning,  // a part of kOutput, unless kTotal shows that it is none
    kTotal,      // input and output
    kTrueTotal   // the same, and it decides: what is not prompt is output
};
constexpr size_t kUsageFields = 10;

/** The last value of each field. Trivially copyable. */
class UsageCounts {
public:
    /** A later value replaces an earlier one. At most kMaxAmount. */
    void set(UsageSource source, UsageField field, Amount value);

    /** Something is known of input, output or the total. */
    bool has_any() const;

    /** All of it together; what is not known is 0. No more than kMaxAmount each. */
    TokenCounts sum() const;

private:
    struct Told;

    Told told(UsageSource source) const;
    bool has(UsageSource source, UsageField field) const;
    Amount value(UsageSource source, UsageField field) const;

    uint32_t known_ = 0;  // a bit for each value
    Amount values_[kUsageSources * kUsageFields];
};

}  // namespace ai_limit
