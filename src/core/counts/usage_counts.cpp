#include "core/counts/usage_counts.h"

#include <algorithm>
#include <type_traits>

namespace ai_limit {

namespace {

constexpr UsageSource kSources[] = {UsageSource::kConfigured, UsageSource::kModel,
                                    UsageSource::kSteps, UsageSource::kBeside};
static_assert(std::size(kSources) == kUsageSources);

constexpr Amount TokenCounts::*kParts[] = {
    &TokenCounts::cached_input,
    &TokenCounts::cache_write,
    &TokenCounts::cache_write_1h,
    &TokenCounts::audio_input,
};

constexpr Amount TokenCounts::*kUnits[] = {
    &TokenCounts::images,
    &TokenCounts::searches,
    &TokenCounts::seconds,
    &TokenCounts::cost,
};

Amount minus(Amount a, Amount b) {
    return a > b ? a - b : 0;
}

}  // namespace

static_assert(std::is_trivially_copyable_v<UsageCounts> && kUsageFields <= 32);

void UsageCounts::set(UsageSource source, UsageField field, Amount value) {
    const size_t row = static_cast<size_t>(source);
    const size_t column = static_cast<size_t>(field);
    const bool known = (known_[row] >> column & 1) != 0;
    known_[row] |= uint32_t{1} << column;
    values_[row][column] = known ? std::max(value, values_[row][column]) : value;
}

/** The counts of one source. */
struct UsageCounts::Reader {
    uint32_t known;
    const Amount* values;

    bool has(UsageField field) const { return (known >> static_cast<size_t>(field) & 1) != 0; }

    /** 0 if it is not known. */
    Amount value(UsageField field) const {
        return has(field) ? values[static_cast<size_t>(field)] : 0;
    }

    ReportedUsage reported() const {
        ReportedUsage reported;
        read_input(&reported);
        read_output(&reported);
        read_total(&reported);
        reported.counts.images = value(UsageField::kImages);
        reported.counts.searches = value(UsageField::kSearches);
        reported.counts.seconds = value(UsageField::kSeconds);
        reported.counts.cost = value(UsageField::kCost);
        return reported;
    }

private:
    void read_input(ReportedUsage* reported) const {
        TokenCounts& counts = reported->counts;
        reported->has_input = has(UsageField::kPrompt) || has(UsageField::kInput);
        const Amount kinds = value(UsageField::kCacheWrite5m) + value(UsageField::kCacheWrite1h);
        const Amount written = std::max(value(UsageField::kCacheWrite), kinds);
        // An API that reports cached input as a part of the input does not leave it out there.
        const bool is_part = has(UsageField::kCached) || has(UsageField::kWritten);
        const Amount beside = is_part ? 0 : value(UsageField::kCacheRead) + written;
        // If a count has two names, the larger number counts: a 0 beside another number is none.
        const Amount prompt = value(UsageField::kPrompt);
        const Amount input = value(UsageField::kInput);
        counts.input = prompt > 0 && prompt >= input ? prompt : input + beside;
        counts.input += value(UsageField::kToolInput);
        counts.cached_input =
            has(UsageField::kCached) ? value(UsageField::kCached) : value(UsageField::kCacheRead);
        counts.cache_write_1h = value(UsageField::kCacheWrite1h);
        counts.cache_write =
            minus(has(UsageField::kWritten) ? value(UsageField::kWritten) : written,
                  counts.cache_write_1h);
        counts.audio_input = value(UsageField::kAudioInput);
    }

    void read_output(ReportedUsage* reported) const {
        TokenCounts& counts = reported->counts;
        reported->has_output = has(UsageField::kOutput) || has(UsageField::kThoughts);
        counts.output = value(UsageField::kOutput) + value(UsageField::kThoughts);
        counts.reasoning = has(UsageField::kThoughts) ? value(UsageField::kThoughts)
                                                      : value(UsageField::kReasoning);
        counts.audio_output = value(UsageField::kAudioOutput);
    }

    void read_total(ReportedUsage* reported) const {
        TokenCounts& counts = reported->counts;
        const bool decides = has(UsageField::kTrueTotal);
        if (!decides && !has(UsageField::kTotal)) {
            return;
        }
        const Amount total = value(decides ? UsageField::kTrueTotal : UsageField::kTotal);
        if (!reported->has_input) {
            counts.input = minus(total, counts.output);
        } else if (decides || !reported->has_output) {
            counts.output = minus(total, counts.input);
        } else if (total == counts.input + counts.output + value(UsageField::kReasoning)) {
            counts.output += value(UsageField::kReasoning);  // xAI counts it beside the output
        }
        reported->has_output = reported->has_output || reported->has_input;
        reported->has_input = true;
    }
};

bool UsageCounts::has_any() const {
    const ReportedUsage all = reported();
    const TokenCounts& counts = all.counts;
    return all.has_input || all.has_output || counts.images != 0 || counts.searches != 0 ||
           counts.seconds != 0;
}

ReportedUsage UsageCounts::reported() const {
    ReportedUsage all;
    bool is_total = false;
    const bool configured = known_[static_cast<size_t>(UsageSource::kConfigured)] != 0;
    for (const UsageSource source : kSources) {
        const size_t row = static_cast<size_t>(source);
        if (known_[row] == 0) {
            continue;
        }
        const Reader reader{known_[row], values_[row]};
        const ReportedUsage said = reader.reported();
        const TokenCounts& counts = said.counts;
        const bool sums = source == UsageSource::kSteps && !configured;
        const bool more_input =
            counts.input > all.counts.input && (sums || (all.counts.input == 0 && !configured));
        const bool more_output =
            counts.output > all.counts.output && (sums || (all.counts.output == 0 && !configured));
        if (said.has_input && (!all.has_input || more_input)) {
            all.has_input = true;
            is_total = reader.has(UsageField::kTotal) || reader.has(UsageField::kTrueTotal);
            all.counts.input = std::min(counts.input, kMaxAmount);
            for (const auto part : kParts) {
                all.counts.*part = std::min(counts.*part, all.counts.input);
            }
        }
        if (said.has_output && (!all.has_output || more_output)) {
            all.has_output = true;
            all.counts.output = std::min(counts.output, kMaxAmount);
            all.counts.reasoning = std::min(counts.reasoning, all.counts.output);
            all.counts.audio_output = std::min(counts.audio_output, all.counts.output);
        }
        for (const auto unit : kUnits) {
            all.counts.*unit = std::max(all.counts.*unit, counts.*unit);
        }
    }
    // A total alone is input: there is no more output than it holds.
    all.is_total = is_total && !all.has_output;
    all.has_output = all.has_output || is_total;
    return all;
}

}  // namespace ai_limit
