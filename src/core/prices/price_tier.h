#pragma once

// The tiers of service that have prices of their own.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ai_limit {

enum class PriceTier : uint8_t { kStandard, kPriority, kFlex, kBatch };
constexpr size_t kPriceTiers = 4;

/**
 * Returns the tier that a `service_tier` of an answer or a request names, in any case: `priority`
 * and `fast`, `flex`, `batch` and `batches`. All else is the standard tier: providers answer with
 * `default`, `standard`, `auto`, `scale` and with nothing.
 */
PriceTier tier_of(std::string_view service_tier);

}  // namespace ai_limit
