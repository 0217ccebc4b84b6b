#pragma once

// Counts what each model was used for: answers, tokens and their cost, today and since the zone was
// made. A model that has a row is counted exactly. When all rows are taken, a new model may
// displace the one that was used least (displacement.h), whose counts go to the others then. So the
// sum over all models and the others is exact, whatever names clients and upstreams think of.

#include <cstring>
#include <string_view>

#include "core/counts/token_counts.h"
#include "core/observe/day_count.h"
#include "core/zone/zone.h"

namespace ai_limit {

/** The use of a model. */
struct ModelUse {
    uint64_t answers, input, cached_input, output;
    uint64_t cost;  // in millionths of a dollar

    static constexpr uint64_t ModelUse::*kAll[] = {
        &ModelUse::answers, &ModelUse::input, &ModelUse::cached_input,
        &ModelUse::output,  &ModelUse::cost,
    };
};
static_assert(std::size(ModelUse::kAll) == std::size(ModelCounts::kAll));

/** A model as an answer or a request names it. */
struct NamedModel {
    std::string_view name;  // empty: nobody knows, and the others are counted
    bool may_be_new;        // if it has no row yet, it may get one
};

/**
 * The row that this process counted in last. It is the model's as long as it has this tag, also in
 * another zone: the tag depends on the zone's secret.
 */
struct RowMemo {
    uint64_t tag;
    uint32_t row;
    uint32_t size;
    char name[64];
};
extern RowMemo row_memo;

/** Returns the counts that an answer of the model adds to, if it is not the last one's. */
ModelCounts* find_counts(const Zone& zone, const NamedModel& model, const TokenCounts& used,
                         DayNumber day);

/** Begins the day for all counts of a model. */
void begin_day_of(ModelCounts* counts, DayNumber day);

/** Counts an answer of the model in a zone, on the day. `cost`: in millionths of a dollar. */
inline void count_model(const Zone& zone, const NamedModel& model, const TokenCounts& used,
                        Amount cost, DayNumber day) {
    const auto add = [](DayCount* count, uint64_t amount) {
        count->total.fetch_add(amount, std::memory_order_relaxed);
    };
    ModelRow* last = &zone.models()->rows[row_memo.row];
    const bool is_last = row_memo.size == model.name.size() &&
                         std::memcmp(row_memo.name, model.name.data(), model.name.size()) == 0 &&
                         last->tag.load(std::memory_order_acquire) == row_memo.tag;
    ModelCounts* counts = is_last ? &last->counts : find_counts(zone, model, used, day);
    if (!has_begun(counts->answers.start.load(std::memory_order_acquire), day)) {
        begin_day_of(counts, day);
    }
    add(&counts->answers, 1);
    add(&counts->input, used.input);
    add(&counts->output, used.output);
    if ((used.cached_input | cost) != 0) {
        add(&counts->cached_input, used.cached_input);
        add(&counts->cost, cost);
    }
}

/** The name under which all models without a row are shown. */
constexpr std::string_view kOtherModels = "other";

/** A model as operators see it. */
struct ModelView {
    ModelUse total, today;
    uint8_t size;
    char text[kMaxModelText];

    std::string_view name() const { return {text, size}; }
};

/** Models of one zone or several. `models` has room for kModelRows of each zone. */
struct ModelViews {
    ModelView* models;
    size_t count;
    ModelView others;
};

/** Adds the models of a zone to `views`. Those whose names look the same are one. Takes no locks.
 */
void add_models(const Zone& zone, DayNumber day, ModelViews* views);

/** Sorts the models by cost, then by tokens, and adds all but the first kModelRows to the others.
 */
void rank_models(ModelViews* views);

/** Writes the name into `text` as it is shown: escaped, cut where it is long. Returns its size. */
uint8_t show_model(std::string_view name, char (*text)[kMaxModelText]);

/** True if a row from a file can be used: its name is one that show_model() may have written. */
bool is_sound(const ModelRow& row);

/** Puts a row from a file into a zone that nobody uses yet, if one is free there. */
void restore_model(const Zone& zone, const ModelRow& row);

/** A row with this tag is being written. In a file, its counts are those of the others. */
constexpr uint64_t kNoModelTag = 1;  // a model's own is 256 or more

}  // namespace ai_limit
