#include "core/carry/state_version.h"

namespace ai_limit {

namespace {

constexpr uint32_t kFirstCounts = 16;  // as many as there were when they were first written

constexpr uint32_t kCut = offsetof(PolicyRecord, cut);
constexpr uint32_t kDayStart = offsetof(PolicyRecord, day_start);
constexpr uint32_t kBehind = offsetof(PolicyRecord, slot_duration);

// `cut`, `settled` and `released` came together, and `day_start` behind them later.
static_assert(kDayStart == kCut + 24 && kBehind == kDayStart + 8);

constexpr StateVersion kVersions[] = {
    {kStateFormat, kLayoutVersion - kCountsLayout, kBehind, 0, true, true, 0},
    {kStateFormat, 21, kBehind, 0, true, true, 0},
    {kStateFormat, 20, kBehind, 0, true, true, 0},
    {kStateFormat, 19, kBehind, 0, true, true, 0},
    {kStateFormat, 18, kBehind, 0, true, true, 0},
    {kStateFormat, 17, kBehind, 0, true, true, 0},
    {kStateFormat, 16, kBehind, 0, true, true, 0},
    {4, 15, kDayStart, kBehind - kDayStart, true, false, 0},
    {4, 14, kDayStart, kBehind - kDayStart, true, false, 0},
    {3, 11, kCut, kBehind - kCut, false, false, 0},
};

uint32_t counts_of_layout(uint32_t layout) {
    return kFirstCounts + (layout >> kCountsShift);
}

}  // namespace

bool find_state_version(uint32_t format, uint32_t layout, StateVersion* version) {
    for (const StateVersion& known : kVersions) {
        const uint32_t counts = counts_of_layout(layout);
        if (known.format == format && known.layout == layout % (1 << kCountsShift) &&
            counts <= kCountFields) {
            *version = known;
            version->counts = counts;
            return true;
        }
    }
    return false;
}

bool take_policy(const StateVersion& version, StateParts* from, PolicyPart* part) {
    *part = {};
    const size_t rest = version.missing_from + version.missing_record;
    return from->take_bytes(part, offsetof(PolicyPart, counts)) &&
           from->take_bytes(&part->counts, version.counts * sizeof(uint64_t)) &&
           from->take_bytes(part->record, version.missing_from) &&
           from->take_bytes(part->record + rest, sizeof(part->record) - rest);
}

}  // namespace ai_limit
