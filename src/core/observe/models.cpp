#include "core/observe/models.h"

#include <algorithm>
#include <cstring>

#include "core/observe/displacement.h"
#include "core/words/shown_key.h"
#include "core/zone/table.h"

namespace ai_limit {

namespace {

constexpr std::string_view kCut = "...";

uint64_t read(const std::atomic<uint64_t>& count) {
    return count.load(std::memory_order_relaxed);
}

/** The row in which the search for a tag begins. It goes on to the next ones. */
uint32_t first_row(uint64_t tag) {
    return static_cast<uint32_t>(tag) % kModelRows;
}

ModelRow* next_row(ModelTable* table, uint64_t tag, uint32_t step) {
    return &table->rows[(first_row(tag) + step) % kModelRows];
}

/** Returns nullptr if the model has no row. Rows do not become free again. */
ModelRow* find_row(ModelTable* table, uint64_t tag) {
    for (uint32_t step = 0; step < kModelRows; ++step) {
        ModelRow* row = next_row(table, tag, step);
        const uint64_t present = row->tag.load(std::memory_order_acquire);
        if (present == tag) {
            return row;
        }
        if (present == 0) {
            break;
        }
    }
    return nullptr;
}

void note_row(const ModelTable& table, const ModelRow& row, std::string_view name, uint64_t tag) {
    if (name.size() <= sizeof(row_memo.name)) {
        row_memo.tag = tag;
        row_memo.row = static_cast<uint32_t>(&row - table.rows);
        row_memo.size = static_cast<uint32_t>(name.copy(row_memo.name, sizeof(row_memo.name)));
    }
}

uint64_t weight_of(const ModelRow& row) {
    return read(row.counts.answers.total) + read(row.counts.input.total) +
           read(row.counts.output.total);
}

ModelRow* least_row(ModelTable* table) {
    return std::min_element(
        table->rows, table->rows + kModelRows,
        [](const ModelRow& a, const ModelRow& b) { return weight_of(a) < weight_of(b); });
}

/** Adds an amount that was counted before the day. */
void add_before_day(std::atomic<uint64_t>* start, uint64_t amount, DayNumber day) {
    uint64_t word = start->load(std::memory_order_relaxed);
    while (has_begun(word, day) &&
           !start->compare_exchange_weak(
               word, (word & ~kDayCountMask) | ((word + amount) & kDayCountMask))) {
    }
}

/** Others may still add to the row meanwhile: that stays there. */
void move_counts(ModelCounts* from, ModelCounts* to, DayNumber day) {
    begin_day_of(to, day);
    for (auto count : ModelCounts::kAll) {
        const uint64_t total = (from->*count).total.exchange(0);
        const uint64_t start = (from->*count).start.exchange(uint64_t{day} << kDayShift);
        const uint64_t today = has_begun(start, day) ? (total - start) & kDayCountMask : 0;
        (to->*count).total.fetch_add(total);
        add_before_day(&(to->*count).start, total - today, day);
    }
}

/** Gives a row to the model that claimed it by its tag. */
void fill_row(ModelRow* row, std::string_view name, uint64_t tag) {
    row->size = show_model(name, &row->text);
    row->tag.store(tag, std::memory_order_release);
}

/** Returns nullptr if the model gets none now. */
ModelRow* take_row(ModelTable* table, std::string_view name, uint64_t tag, uint64_t weight,
                   DayNumber day) {
    for (uint32_t step = 0; step < kModelRows; ++step) {
        ModelRow* row = next_row(table, tag, step);
        uint64_t present = 0;
        if (row->tag.compare_exchange_strong(present, kNoModelTag)) {
            fill_row(row, name, tag);
            return row;
        }
    }
    ModelRow* least = least_row(table);
    uint64_t before = least->tag.load(std::memory_order_acquire);
    if (!displaces(weight, weight_of(*least)) || before == kNoModelTag ||
        !least->tag.compare_exchange_strong(before, kNoModelTag)) {
        return nullptr;
    }
    move_counts(&least->counts, &table->others, day);
    fill_row(least, name, tag);
    return least;
}

ModelUse total_of(const ModelCounts& counts) {
    ModelUse use{};
    for (size_t i = 0; i < std::size(ModelUse::kAll); ++i) {
        use.*ModelUse::kAll[i] = read((counts.*ModelCounts::kAll[i]).total);
    }
    return use;
}

ModelUse use_of_day(const ModelCounts& counts, DayNumber day) {
    ModelUse use{};
    for (size_t i = 0; i < std::size(ModelUse::kAll); ++i) {
        const DayCount& count = counts.*ModelCounts::kAll[i];
        use.*ModelUse::kAll[i] = count_of_day(count.start, count.total, day);
    }
    return use;
}

/** Reads a row while others may write it. False if there is nothing to read. */
bool read_row(const ModelRow& row, DayNumber day, ModelView* view) {
    const uint64_t tag = row.tag.load(std::memory_order_acquire);
    if (tag == 0 || tag == kNoModelTag) {
        return false;
    }
    view->total = total_of(row.counts);
    view->today = use_of_day(row.counts, day);
    view->size = row.size < kMaxModelText ? row.size : kMaxModelText;
    std::memcpy(view->text, row.text, kMaxModelText);
    std::atomic_thread_fence(std::memory_order_acquire);
    return row.tag.load(std::memory_order_relaxed) == tag;
}

void add_view(const ModelView& from, ModelView* to) {
    for (auto count : ModelUse::kAll) {
        to->total.*count += from.total.*count;
        to->today.*count += from.today.*count;
    }
}

/** Returns the model of that name; adds it to the views if it is not there. */
ModelView* find_view(std::string_view name, ModelViews* views) {
    if (name == kOtherModels) {
        return &views->others;
    }
    for (size_t i = 0; i < views->count; ++i) {
        if (views->models[i].name() == name) {
            return &views->models[i];
        }
    }
    ModelView* view = &views->models[views->count++];
    *view = {};
    view->size = static_cast<uint8_t>(name.copy(view->text, kMaxModelText));
    return view;
}

}  // namespace

/** No name is so long. */
RowMemo row_memo = {0, 0, UINT32_MAX, {}};

/** The answers tell if the day has begun for all counts of a model, so theirs begins last. */
void begin_day_of(ModelCounts* counts, DayNumber day) {
    for (size_t i = std::size(ModelCounts::kAll); i-- > 0;) {
        DayCount* count = &(counts->*ModelCounts::kAll[i]);
        begin_day(&count->start, count->total, day);
    }
}
static_assert(ModelCounts::kAll[0] == &ModelCounts::answers);

ModelCounts* find_counts(const Zone& zone, const NamedModel& model, const TokenCounts& used,
                         DayNumber day) {
    ModelTable* table = zone.models();
    if (model.name.empty()) {
        return &table->others;
    }
    const uint64_t tag = hash_key(zone, model.name);
    ModelRow* row = find_row(table, tag);
    if (row == nullptr && model.may_be_new) {
        row = take_row(table, model.name, tag, 1 + used.input + used.output, day);
    }
    if (row == nullptr) {
        return &table->others;
    }
    note_row(*table, *row, model.name, tag);
    return &row->counts;
}

void add_models(const Zone& zone, DayNumber day, ModelViews* views) {
    const ModelTable& table = *zone.models();
    for (const ModelRow& row : table.rows) {
        ModelView view;
        if (read_row(row, day, &view)) {
            add_view(view, find_view(view.name(), views));
        }
    }
    ModelView others{};
    others.total = total_of(table.others);
    others.today = use_of_day(table.others, day);
    add_view(others, &views->others);
}

void rank_models(ModelViews* views) {
    std::sort(views->models, views->models + views->count,
              [](const ModelView& a, const ModelView& b) {
                  const ModelUse& one = a.total;
                  const ModelUse& two = b.total;
                  return one.cost != two.cost ? one.cost > two.cost
                                              : one.input + one.output > two.input + two.output;
              });
    for (; views->count > kModelRows; --views->count) {
        add_view(views->models[views->count - 1], &views->others);
    }
    views->others.size = static_cast<uint8_t>(kOtherModels.copy(views->others.text, kMaxModelText));
}

uint8_t show_model(std::string_view name, char (*text)[kMaxModelText]) {
    char buffer[kMaxShownKey];
    TextWriter out(buffer, sizeof(buffer));
    write_escaped(name, out);
    const std::string_view shown = out.view();
    if (shown.size() <= kMaxModelText) {
        return static_cast<uint8_t>(shown.copy(*text, kMaxModelText));
    }
    const size_t kept = shown.copy(*text, kMaxModelText - kCut.size());
    return static_cast<uint8_t>(kept + kCut.copy(*text + kept, kCut.size()));
}

bool is_sound(const ModelRow& row) {
    return row.size <= kMaxModelText &&
           std::all_of(row.text, row.text + row.size, [](char c) { return c >= ' ' && c <= '~'; });
}

void restore_model(const Zone& zone, const ModelRow& row) {
    ModelTable* table = zone.models();
    const uint64_t tag = read(row.tag);
    if (tag == kNoModelTag) {
        std::memcpy(static_cast<void*>(&table->others), static_cast<const void*>(&row.counts),
                    sizeof(ModelCounts));
        return;
    }
    for (uint32_t step = 0; step < kModelRows; ++step) {
        ModelRow* to = next_row(table, tag, step);
        if (read(to->tag) == 0) {
            std::memcpy(static_cast<void*>(to), static_cast<const void*>(&row), sizeof(ModelRow));
            return;
        }
    }
}

}  // namespace ai_limit
