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

/** No model of the table has a longer name. */
constexpr size_t kMaxPricedName = 240;

/** A model has at most so many thresholds of a long prompt. */
constexpr size_t kMaxPriceThresholds = 8;

/** One model of a PriceTable. Places are in bytes from the beginning of the table's memory. */
struct ModelPrices {
    uint32_t weights;     // the place of its rows, each of TokenWeights
    uint32_t thresholds;  // the place of its thresholds, each an Amount, ascending
    uint8_t threshold_count;
    // The first row of each tier. Each threshold passed is the next row. Tiers may share rows.
    uint8_t first_row[kPriceTiers];
    uint8_t padding[3];
};

/** A slot of the hash table: a name, or nothing if `key` is 0. */
struct PriceSlot {
    uint64_t key;    // of key_of()
    uint32_t name;   // its place
    uint32_t model;  // the place of its ModelPrices
};

/** The beginning of the memory of a PriceTable. The slots follow, a power of two of them. */
struct PriceTableHeader {
    uint64_t slot_mask;  // their number, less one
};

/**
 * A view of prices in one block of memory, which belongs to the caller, is only read and has no
 * pointers inside. A view of nothing, such as one of zeros, knows no model. Trivially copyable.
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

    /** Returns a number for the name by which find() finds this model, the same in each table that
     * has the name; 0 if it finds none. */
    uint64_t number_of(std::string_view name) const;

    /** Returns the prices of the model whose name has this number; nullptr if none has. */
    const ModelPrices* find_by_number(uint64_t number) const;

    /**
     * Returns the weights for a request with this model: for its tier, and for the size of its
     * prompt, all tokens of input, since many models cost more above a threshold, for the whole
     * request.
     */
    const TokenWeights& weights_of(const ModelPrices& model, PriceTier tier, Amount prompt) const {
        size_t row = model.first_row[static_cast<size_t>(tier)];
        const Amount* threshold = at<Amount>(model.thresholds);
        for (unsigned i = 0; i < model.threshold_count && prompt > threshold[i]; ++i) {
            ++row;
        }
        return at<TokenWeights>(model.weights)[row];
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
    const ModelPrices* find_slowly(std::string_view name) const;
    const ModelPrices* find_without_date(std::string_view name) const;
    const ModelPrices* find_hashed(std::string_view name, uint64_t hash) const;

    const char* memory_ = nullptr;
};

/** The hash by which a PriceTable finds a name: its low bits are the number of a slot. */
uint64_t hash_model_name(std::string_view name);

/** The key of a slot: half of the hash of its name, and the size of the name. */
constexpr uint64_t key_of(uint64_t hash, size_t size) {
    return (hash & ~uint64_t{UINT32_MAX}) | size;
}

/**
 * Returns the name of a model without a date at its end: `-2024-08-06`, `-20240806` or
 * `@20240806`. Nothing else is taken away. A name without a date is returned whole.
 */
std::string_view without_date(std::string_view name);

}  // namespace ai_limit
