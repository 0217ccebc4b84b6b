#include "prices/model_weights.h"

#include <algorithm>
#include <iterator>

namespace ai_limit {

namespace {

/** A kind, and the kind whose price it has if it has none of its own; itself: it costs nothing. */
struct KindRow {
    uint64_t TokenWeights::*weight;
    PriceKind kind;
    PriceKind whole;
};

constexpr KindRow kKinds[] = {
    {&TokenWeights::input, PriceKind::kInput, PriceKind::kInput},
    {&TokenWeights::output, PriceKind::kOutput, PriceKind::kOutput},
    {&TokenWeights::cached_input, PriceKind::kCachedInput, PriceKind::kInput},
    {&TokenWeights::cache_write, PriceKind::kCacheWrite, PriceKind::kInput},
    {&TokenWeights::cache_write_1h, PriceKind::kCacheWrite1h, PriceKind::kCacheWrite},
    {&TokenWeights::audio_input, PriceKind::kAudioInput, PriceKind::kInput},
    {&TokenWeights::reasoning, PriceKind::kReasoning, PriceKind::kOutput},
    {&TokenWeights::audio_output, PriceKind::kAudioOutput, PriceKind::kOutput},
    {&TokenWeights::images, PriceKind::kImages, PriceKind::kImages},
    {&TokenWeights::searches, PriceKind::kSearches, PriceKind::kSearches},
    {&TokenWeights::seconds, PriceKind::kSeconds, PriceKind::kSeconds},
};
static_assert(std::size(kKinds) == kPriceKinds &&
                  sizeof(TokenWeights) == (kPriceKinds + 1) * sizeof(uint64_t),
              "each kind but the cost has a row");

constexpr bool rows_are_in_order() {
    for (size_t i = 0; i < kPriceKinds; ++i) {
        if (static_cast<size_t>(kKinds[i].kind) != i || kKinds[i].whole > kKinds[i].kind) {
            return false;
        }
    }
    return true;
}
static_assert(rows_are_in_order());

const Price* higher(const Price* a, const Price* b) {
    return a == nullptr || (b != nullptr && b->value > a->value) ? b : a;
}

/** The prices of one kind that may apply; nullptr where there is none. */
struct Candidates {
    const Price* standard = nullptr;     // for all prompts
    const Price* long_prompt = nullptr;  // standard, for the highest threshold passed
    const Price* tier = nullptr;         // for the tier and the highest threshold passed, or all
    const Price* highest = nullptr;      // whatever it is for
};

/** Replaces a price by one for a higher threshold. */
void take_longer(const Price* price, const Price** place) {
    if (*place == nullptr || price->field.above > (*place)->field.above) {
        *place = price;
    }
}

/** True if the model has a price of the kind that stands in for none. */
bool has_own(const PriceList& prices, PriceKind kind) {
    return std::any_of(prices.begin(), prices.end(), [kind](const Price& price) {
        return price.field.kind == kind && !price.field.stands_in;
    });
}

Candidates candidates_for(const PriceList& prices, const PriceField& field) {
    Candidates found;
    const bool has_own_price = has_own(prices, field.kind);
    for (const Price& price : prices) {
        if (price.field.kind != field.kind || (price.field.stands_in && has_own_price)) {
            continue;
        }
        found.highest = higher(found.highest, &price);
        if (price.field.above > field.above) {
            continue;
        }
        if (price.field.tier == PriceTier::kStandard) {
            take_longer(&price, price.field.above == 0 ? &found.standard : &found.long_prompt);
        } else if (price.field.tier == field.tier) {
            take_longer(&price, &found.tier);
        }
    }
    return found;
}

/** Returns the price that applies; nullptr if the kind has none at all. */
const Price* price_for(const PriceList& prices, const PriceField& field) {
    const Candidates found = candidates_for(prices, field);
    if (found.tier != nullptr && found.long_prompt != nullptr) {
        const uint32_t above = found.tier->field.above;
        const bool is_nearer = above > 0 && above >= found.long_prompt->field.above;
        return is_nearer ? found.tier : higher(found.tier, found.long_prompt);
    }
    for (const Price* price : {found.tier, found.long_prompt, found.standard}) {
        if (price != nullptr) {
            return price;
        }
    }
    return found.highest;
}

}  // namespace

size_t thresholds_of(const PriceList& prices, uint32_t thousands[kMaxPriceThresholds]) {
    size_t count = 0;
    for (const Price& price : prices) {
        uint32_t* end = thousands + count;
        uint32_t* place = std::lower_bound(thousands, end, price.field.above);
        if (price.field.above == 0 || (place != end && *place == price.field.above)) {
            continue;
        }
        if (count == kMaxPriceThresholds) {
            return kMaxPriceThresholds + 1;
        }
        std::copy_backward(place, end, end + 1);
        *place = price.field.above;
        ++count;
    }
    return count;
}

bool has_tier(const PriceList& prices, PriceTier tier) {
    return std::any_of(prices.begin(), prices.end(),
                       [tier](const Price& price) { return price.field.tier == tier; });
}

TokenWeights weights_of(const PriceList& prices, PriceTier tier, uint32_t above) {
    TokenWeights weights;
    for (const KindRow& row : kKinds) {
        const Price* price = price_for(prices, {row.kind, tier, above});
        uint64_t* weight = &(weights.*row.weight);
        if (price != nullptr) {
            *weight = price->value * kWeightOfPrice;
        } else {
            *weight =
                row.whole == row.kind ? 0 : weights.*kKinds[static_cast<size_t>(row.whole)].weight;
        }
    }
    return weights;
}

}  // namespace ai_limit
