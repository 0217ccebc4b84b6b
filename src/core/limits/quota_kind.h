#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>

#include "core/words/units.h"

namespace ai_limit {

/** The kinds of quota that a provider gives an account. An account can have several at once. */
enum class QuotaKind : uint8_t {
    kRequests,
    kTokens,
    kInputTokens,
    kOutputTokens,
    kLast = kOutputTokens
};

struct QuotaKindFacts {
    QuotaKind kind;
    Measure measure;
    std::string_view name;   // in the API
    std::string_view count;  // the count= of a policy that counts as the provider does
};

constexpr QuotaKindFacts kQuotaKindFacts[] = {
    {QuotaKind::kRequests, Measure::kRequests, "requests", ""},
    {QuotaKind::kTokens, Measure::kTokens, "tokens", "total"},
    // Anthropic counts input that it reads from a cache against no limit.
    {QuotaKind::kInputTokens, Measure::kTokens, "input_tokens", "input:1,cached_input:0"},
    {QuotaKind::kOutputTokens, Measure::kTokens, "output_tokens", "output"},
};

constexpr size_t kQuotaKinds = std::size(kQuotaKindFacts);

constexpr bool are_quota_kinds_in_order() {
    for (size_t i = 0; i < kQuotaKinds; ++i) {
        if (static_cast<size_t>(kQuotaKindFacts[i].kind) != i) {
            return false;
        }
    }
    return kQuotaKindFacts[kQuotaKinds - 1].kind == QuotaKind::kLast;
}
static_assert(are_quota_kinds_in_order(), "each kind has its row, in the order of their numbers");

}  // namespace ai_limit
