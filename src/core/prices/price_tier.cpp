#include "core/prices/price_tier.h"

#include "core/words/ascii_case.h"

namespace ai_limit {

namespace {

struct TierRow {
    std::string_view name;
    PriceTier tier;
};

constexpr TierRow kTiers[] = {
    {"priority", PriceTier::kPriority}, {"fast", PriceTier::kPriority}, {"flex", PriceTier::kFlex},
    {"batch", PriceTier::kBatch},       {"batches", PriceTier::kBatch},
};

}  // namespace

PriceTier tier_of(std::string_view service_tier) {
    for (const TierRow& row : kTiers) {
        if (is_same(service_tier, row.name)) {
            return row.tier;
        }
    }
    return PriceTier::kStandard;
}

}  // namespace ai_limit
