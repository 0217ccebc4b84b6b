#include "core/usage_counts.h"

#include <algorithm>
#include <type_traits>

namespace ai_limit {

namespace {

constexpr UsageSource kSources[] = {UsageSource::kModel, UsageSource::kServer,
                                    UsageSource::kBilled};
static_assert(std::size(kSources) == kUsageSources);

constexpr size_t index_of(UsageSource source, UsageField field) {
    return static_cast<size_t>(source) * kUsageFields + static_cast<size_t>(field);
}

Amount minus(Amount a, Amount b) {
    return a > b ? a - b : 0;
}

}  // namespace

static_assert(std::is_trivially_copyable_v<UsageCounts> && kUsageSources * kUsageFields <= 32);

/** What one source says in all. */
struct UsageCounts::Told {
    bool has_input;
    bool has_output;
    TokenCounts counts;
};

void UsageCounts::set(UsageSource source, UsageField field, Amount value) {
    const size_t index = index_of(source, field);
    known_ |= uint32_t{1} << index;
    values_[index] = value;
}

bool UsageCounts::has(UsageSource source, UsageField field) const {
    return (known_ >> index_of(source, field) & 1) != 0;
}

/** 0 where it is not known. */
Amount UsageCounts::value(UsageSource source, UsageField field) const {
    return has(source, field) ? values_[index_of(source, field)] : 0;
}

UsageCounts::Told UsageCounts::told(UsageSource source) const {
    const auto has = [&](UsageField field) { return this->has(source, field); };
    const auto value = [&](UsageField field) { return this->value(source, field); };
    Told told{};
    TokenCounts& counts = told.counts;
    told.has_input = has(UsageField::kPrompt) || has(UsageField::kInput);
    told.has_output = has(UsageField::kOutput) || has(UsageField::kThoughts);
    // Who tells of cached input as a part of the input does not leave it out there.
    const Amount beside = has(UsageField::kCached)
                              ? 0
                              : value(UsageField::kCacheRead) + value(UsageField::kCacheWrite);
    counts.input =
        has(UsageField::kPrompt) ? value(UsageField::kPrompt) : value(UsageField::kInput) + beside;
    counts.cached_input =
        has(UsageField::kCached) ? value(UsageField::kCached) : value(UsageField::kCacheRead);
    counts.output = value(UsageField::kOutput) + value(UsageField::kThoughts);

    const bool decides = has(UsageField::kTrueTotal);
    const Amount total = value(decides ? UsageField::kTrueTotal : UsageField::kTotal);
    const Amount reasoning = value(UsageField::kReasoning);
    if (!decides && !has(UsageField::kTotal)) {
        return told;
    }
    if (!told.has_input) {
        counts.input = minus(total, counts.output);
    } else if (decides || !told.has_output) {
        counts.output = minus(total, counts.input);
    } else if (total == counts.input + counts.output + reasoning) {
        counts.output += reasoning;  // xAI counts it beside the output
    }
    told.has_output = told.has_output || told.has_input;
    told.has_input = true;
    return told;
}

bool UsageCounts::has_any() const {
    for (const UsageSource source : kSources) {
        const Told said = told(source);
        if (said.has_input || said.has_output) {
            return true;
        }
    }
    return false;
}

TokenCounts UsageCounts::sum() const {
    Told all{};
    for (const UsageSource source : kSources) {
        const Told said = told(source);
        if (said.has_input && !all.has_input) {
            all.has_input = true;
            all.counts.input = std::min(said.counts.input, kMaxAmount);
            all.counts.cached_input = std::min(said.counts.cached_input, all.counts.input);
        }
        if (said.has_output && !all.has_output) {
            all.has_output = true;
            all.counts.output = std::min(said.counts.output, kMaxAmount);
        }
    }
    return all.counts;
}

}  // namespace ai_limit
