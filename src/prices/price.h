#pragma once

// One price of a model, and the fields of a price file that name it.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/counts/token_weights.h"
#include "core/prices/price_tier.h"

namespace ai_limit {

/** The kinds of TokenCounts. A whole comes before its parts. */
enum class PriceKind : uint8_t {
    kInput,
    kOutput,
    kCachedInput,
    kCacheWrite,
    kCacheWrite1h,
    kAudioInput,
    kReasoning,
    kAudioOutput,
    kImages,
    kSearches,
    kSeconds
};
constexpr size_t kPriceKinds = 11;

/** What a price is for. */
struct PriceField {
    PriceKind kind;
    PriceTier tier;
    uint32_t above;          // for prompts of more than so many thousand tokens; 0: for all
    bool stands_in = false;  // it counts for models without another price of the kind
};

constexpr bool operator==(const PriceField& a, const PriceField& b) {
    return a.kind == b.kind && a.tier == b.tier && a.above == b.above && a.stands_in == b.stands_in;
}

struct Price {
    uint64_t value;  // in 10^-12 dollars for one unit, at most kMaxPrice
    PriceField field;
};

/**
 * Reads the name of a field of LiteLLM's price map: the name of a price, then in any order
 * `_priority`, `_flex` or `_batches`, and `_above_Nk_tokens`. False if it is no price that is known
 * here; `field` is then untouched.
 */
bool read_price_field(std::string_view name, PriceField* field);

/** True for a price of tokens, which is never above a cent. */
constexpr bool is_for_tokens(const PriceField& field) {
    return field.kind < PriceKind::kImages;
}

/**
 * Returns the name of the price that is probably meant by an unknown one, which has up to two
 * letters too many, too few or wrong ones, or capitals. Empty if it resembles none. Static.
 */
std::string_view meant_price_field(std::string_view name);

/** The sizes of search that a price of searches may be divided by. */
enum class SearchSize : uint8_t { kLow, kMedium, kHigh };
bool read_search_size(std::string_view name, SearchSize* size);

enum class PriceError : uint8_t { kNone, kNegative, kTooHigh };

/**
 * Reads a number of JSON's grammar (RFC 8259, 6), in dollars, exactly. What is finer than 10^-12
 * dollars is rounded up. `price` is untouched if there is an error.
 */
PriceError read_price(std::string_view number, uint64_t* price);

}  // namespace ai_limit
