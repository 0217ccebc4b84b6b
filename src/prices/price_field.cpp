#include <algorithm>
#include <iterator>

#include "core/words/ascii_case.h"
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
    {"input_cost_per_query", PriceKind::kSearches, true},
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

constexpr size_t kMostMistakes = 2;
constexpr size_t kLongestField = 64;

constexpr bool fields_fit() {
    for (const FieldRow& row : kFields) {
        if (row.name.size() > kLongestField) {
            return false;
        }
    }
    return true;
}
static_assert(fields_fit());

/** True if at most `most` letters must be added, removed or changed to make `name` of `text`
 * (Levenshtein's distance). `name` has at most kLongestField bytes. */
bool is_nearly(std::string_view text, std::string_view name, size_t most) {
    size_t row[kLongestField + 1] = {};
    const size_t longer = std::max(text.size(), name.size());
    if (longer - std::min(text.size(), name.size()) > most) {
        return false;
    }
    for (size_t j = 0; j <= name.size(); ++j) {
        row[j] = j;
    }
    for (size_t i = 0; i < text.size(); ++i) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < name.size(); ++j) {
            const size_t changed = diagonal + (lower(text[i]) == name[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({changed, row[j] + 1, diagonal + 1});
        }
        // Mistakes are never taken back in a later row.
        if (*std::min_element(row, row + name.size() + 1) > most) {
            return false;
        }
    }
    return row[name.size()] <= most;
}

/** Takes `_above_Nk_tokens` and the suffixes of tiers from the end of a name. */
std::string_view without_suffixes(std::string_view name) {
    for (size_t at = name.find('_'); at != name.npos; at = name.find('_', at + 1)) {
        std::string_view rest = name.substr(at);
        PriceField ignored{};
        while (take_tier(&rest, &ignored) || take_threshold(&rest, &ignored)) {
        }
        if (rest.empty()) {
            return name.substr(0, at);
        }
    }
    return name;
}

}  // namespace

std::string_view meant_price_field(std::string_view name) {
    if (name.find("cost") == name.npos) {
        return {};
    }
    name = without_suffixes(name);
    for (size_t mistakes = 0; mistakes <= kMostMistakes; ++mistakes) {
        for (const FieldRow& row : kFields) {
            if (is_nearly(name, row.name, mistakes)) {
                return row.name;
            }
        }
    }
    return {};
}

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
