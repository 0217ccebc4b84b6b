#pragma once

// The prices of models, ready to weigh counts of tokens with.
//
// A policy in money counts millionths of a dollar, so a model's prices are weights: money and
// tokens are one mechanism. prices/price_file.h reads the prices from files and makes the table.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/counts/token_weights.h"
#include "core/prices/price_tier.h"
#include "core/words/types.h"

namespace ai_limit {

/** A dollar, in the unit of prices: 10^-12 dollars. */
constexpr uint64_t kPriceOfADollar = 1'000'000'000'000;

/** The highest price for one token, image, search or second: 1,000 dollars. */
constexpr uint64_t kMaxPrice = 1000 * kPriceOfADollar;

/** A weight is in billionths of a millionth of a dollar, so it is a price times this. */
constexpr uint64_t kWeightOfPrice = 1000;

constexpr uint64_t kMaxPriceWeight = kMaxPrice * kWeightOfPrice;

/** No model of the table has a longer name. XXH3 hashes up to this without an array on the stack.
 */
constexpr size_t kMaxPricedName = 240;

/** A model has at most so many thresholds of a long prompt. */
constexpr size_t kMaxPriceThresholds = 8;

/** One model of a PriceTable. Its memory is the table's. */
struct ModelPrices {
    uint32_t weights;     // the index of its first row of weights
    uint32_t thresholds;  // the index of its first threshold
    uint8_t threshold_count;
    uint8_t groups[kPriceTiers];  // a group of rows for each tier; tiers may share one
    uint8_t padding[3];
};

/** The beginning of the memory of a PriceTable. Places are in bytes from here. */
struct PriceTableHeader {
    uint32_t slot_mask;   // the number of slots is one more, a power of two
    uint32_t slots;       // PriceSlot
    uint32_t models;      // ModelPrices
    uint32_t weights;     // TokenWeights, by model, group, and number of thresholds passed
    uint32_t thresholds;  // Amount, ascending in each model
    uint32_t names;       // bytes
};

/** A place of the hash table: a name, or nothing if `size` is 0. */
struct PriceSlot {
    uint32_t tag;   // the upper half of the name's hash
    uint32_t name;  // in bytes from the first name
    uint32_t size;
    uint32_t model;  // an index
};

/**
 * A view of prices in one block of memory, which belongs to the caller and is only read. It has no
 * pointers inside. An empty table knows no model. Trivially copyable.
 */
class PriceTable {
public:
    PriceTable() = default;

    /** The memory is aligned for a uint64_t and was written by PriceBook::build(). */
    explicit PriceTable(const void* memory) : memory_(static_cast<const char*>(memory)) {}

    /**
     * Returns the prices of a model, or nullptr if it has none. It is looked up by its whole name,
     * then without a date at its end (without_date()).
     */
    const ModelPrices* find(std::string_view name) const;

    /**
     * Returns the weights for a request with this model: for its tier, and for the size of its
     * prompt, all tokens of input, since many models cost more above a threshold, for the whole
     * request.
     */
    const TokenWeights& weights_of(const ModelPrices& model, PriceTier tier, Amount prompt) const {
        const Amount* threshold = at<Amount>(header().thresholds) + model.thresholds;
        size_t passed = 0;
        while (passed < model.threshold_count && prompt > threshold[passed]) {
            ++passed;
        }
        const size_t group = model.groups[static_cast<size_t>(tier)];
        return at<TokenWeights>(
            header().weights)[model.weights + group * (model.threshold_count + 1U) + passed];
    }

private:
    const PriceTableHeader& header() const {
        return *reinterpret_cast<const PriceTableHeader*>(memory_);
    }
    template <class Type>
    const Type* at(uint32_t place) const {
        return reinterpret_cast<const Type*>(memory_ + place);
    }
    const ModelPrices* find_exactly(std::string_view name) const;

    const char* memory_ = nullptr;
};

/** The hash by which a PriceTable finds a name of at most kMaxPricedName bytes. */
uint64_t hash_model_name(std::string_view name);

/**
 * Returns the name of a model without a date at its end: `-2024-08-06`, `-20240806` or
 * `@20240806`. Nothing else is taken away. A name without a date is returned whole.
 */
std::string_view without_date(std::string_view name);

}  // namespace ai_limit
