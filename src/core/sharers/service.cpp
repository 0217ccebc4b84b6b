#include "core/sharers/service.h"

#include <algorithm>

namespace ai_limit {

namespace {

constexpr unsigned kBits = 48;
constexpr uint64_t kMask = (uint64_t{1} << kBits) - 1;
constexpr unsigned kLimitBits = 24;
constexpr uint64_t kMostAtOnce = uint64_t{1} << 40;

int64_t difference(uint64_t one, uint64_t other) {
    constexpr unsigned kShift = 64 - kBits;
    return static_cast<int64_t>((one - other) << kShift) >> kShift;
}

uint64_t finish_of(const SharerState& sharer) {
    return sharer.finish_low | uint64_t{sharer.finish_high} << 24;
}

void set_finish(uint64_t finish, SharerState* sharer) {
    sharer->finish_low = finish & 0xffffff;
    sharer->finish_high = finish >> 24 & 0xffffff;
}

/** True if the sharer has asked lately. */
bool is_active(const Limit& limit, const SharerState& sharer, Millis now) {
    const uint32_t slice = slice_of(limit, static_cast<Millis>(sharer.at));
    return sharer.weight != 0 && ((slice_of(limit, now) - slice) & kSliceMask) <= kActivitySlices;
}

/** Returns how long the service of an amount lasts, at least 1. */
uint64_t length_of_service(const Limit& limit, uint32_t weight, Amount amount) {
    __extension__ typedef unsigned __int128 Wide;
    const Wide divisor = Wide{std::max<Amount>(limit.capacity, 1)} * std::max(weight, 1U);
    const Wide length = (Wide{amount} << kLimitBits) / divisor;
    return static_cast<uint64_t>(std::clamp<Wide>(length, 1, kMostAtOnce));
}

}  // namespace

uint64_t later_service(uint64_t one, uint64_t other) {
    return difference(one, other) > 0 ? one : other;
}

uint64_t start_of_service(const Limit& limit, const SharerState& sharer, uint64_t served,
                          Millis now) {
    return is_active(limit, sharer, now) ? later_service(finish_of(sharer), served) : served;
}

uint64_t begin_service(const Limit& limit, uint64_t served, Millis now, SharerState* sharer) {
    if (!is_active(limit, *sharer, now)) {
        set_finish(served, sharer);
        return served;
    }
    return later_service(finish_of(*sharer), served);
}

void note_service(const SharerAsk& ask, uint64_t start, SharerState* sharer) {
    set_finish((start + length_of_service(*ask.limit, ask.weight, ask.cost)) & kMask, sharer);
}

void correct_service(const Limit& limit, Amount charged, Amount used, SharerState* sharer) {
    const auto weight = static_cast<uint32_t>(sharer->weight);
    const uint64_t more = length_of_service(limit, weight, std::min(used, kMaxAmount));
    const uint64_t less = length_of_service(limit, weight, charged);
    set_finish((finish_of(*sharer) + more - less) & kMask, sharer);
}

void advance_service(KeyActivity* activity, uint64_t start) {
    uint64_t before = activity->served.load(std::memory_order_relaxed);
    while (difference(start, before) > 0 &&
           !activity->served.compare_exchange_weak(before, start, std::memory_order_relaxed)) {
    }
}

}  // namespace ai_limit
