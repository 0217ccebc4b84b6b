#include <iterator>

#include "core/words/number.h"
#include "prices/price.h"

namespace ai_limit {

namespace {

struct FieldRow {
    std::string_view name;
    PriceKind kind;
    bool stands_in = false;
};

/** A name that another one begins with stands behind it. */
constexpr FieldRow kFields[] = {
    {"input_cost_per_token", PriceKind::kInput},
    {"output_cost_per_token", PriceKind::kOutput},
    {"cache_read_input_token_cost", PriceKind::kCachedInput},
    {"cache_creation_input_token_cost_above_1hr", PriceKind::kCacheWrite1h},
    {"cache_creation_input_token_cost", PriceKind::kCacheWrite},
    {"input_cost_per_audio_token", PriceKind::kAudioInput},
    {"output_cost_per_reasoning_token", PriceKind::kReasoning},
    {"output_cost_per_audio_token", PriceKind::kAudioOutput},
    {"output_cost_per_image_token", PriceKind::kOutput, true},
    {"output_cost_per_image", PriceKind::kImages},
    {"search_context_cost_per_query", PriceKind::kSearches},
    {"input_cost_per_second", PriceKind::kSeconds},
};

struct SuffixRow {
    std::string_view name;
    PriceTier tier;
};

constexpr SuffixRow kSuffixes[] = {
    {"_priority", PriceTier::kPriority},
    {"_flex", PriceTier::kFlex},
    {"_batches", PriceTier::kBatch},
};

constexpr std::string_view kSearchSizes[] = {
    "search_context_size_low", "search_context_size_medium", "search_context_size_high"};

bool take(std::string_view* text, std::string_view beginning) {
    if (text->substr(0, beginning.size()) != beginning) {
        return false;
    }
    text->remove_prefix(beginning.size());
    return true;
}

bool take_tier(std::string_view* rest, PriceField* field) {
    for (const SuffixRow& suffix : kSuffixes) {
        if (field->tier == PriceTier::kStandard && take(rest, suffix.name)) {
            field->tier = suffix.tier;
            return true;
        }
    }
    return false;
}

/** `_above_Nk_tokens`, of which N has at most nine digits and is not 0. */
bool take_threshold(std::string_view* rest, PriceField* field) {
    uint64_t thousands = 0;
    unsigned digits = 0;
    if (field->above != 0 || !take(rest, "_above_") || !read_digits(rest, &thousands, &digits) ||
        digits > 9 || thousands == 0 || !take(rest, "k_tokens")) {
        return false;
    }
    field->above = static_cast<uint32_t>(thousands);
    return true;
}

}  // namespace

bool read_price_field(std::string_view name, PriceField* field) {
    for (const FieldRow& row : kFields) {
        std::string_view rest = name;
        PriceField read{row.kind, PriceTier::kStandard, 0, row.stands_in};
        if (!take(&rest, row.name)) {
            continue;
        }
        while (take_tier(&rest, &read) || take_threshold(&rest, &read)) {
        }
        if (rest.empty()) {
            *field = read;
            return true;
        }
    }
    return false;
}

bool read_search_size(std::string_view name, SearchSize* size) {
    for (size_t i = 0; i < std::size(kSearchSizes); ++i) {
        if (name == kSearchSizes[i]) {
            *size = static_cast<SearchSize>(i);
            return true;
        }
    }
    return false;
}

}  // namespace ai_limit
