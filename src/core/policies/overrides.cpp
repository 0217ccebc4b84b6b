#include "core/policies/overrides.h"

#include <cstring>

#include "core/words/shown_key.h"

namespace ai_limit {

namespace {

uint32_t places(const Zone& zone) {
    uint32_t count = zone.header()->overrides.load(std::memory_order_acquire);
    return count < kMaxOverrides ? count : kMaxOverrides;
}

uint64_t tag_at(const Zone& zone, uint32_t place) {
    return zone.override_tag(place)->load(std::memory_order_acquire);
}

/** False if it is being written. */
bool copy_of(const Override& from, Millis monotonic, OverrideView* to) {
    uint64_t version = from.version.load(std::memory_order_acquire);
    to->limit = from.limit;
    to->expires_in = from.expires_at - monotonic;
    to->policy = from.policy;
    to->rate_size = from.rate_size < kMaxRateText ? from.rate_size : kMaxRateText;
    to->key_size = from.key_size < kMaxTopKeyText ? from.key_size : kMaxTopKeyText;
    std::memcpy(to->rate, from.rate, kMaxRateText);
    std::memcpy(to->key, from.key, kMaxTopKeyText);
    std::atomic_thread_fence(std::memory_order_acquire);
    return version % 2 == 0 && from.version.load(std::memory_order_relaxed) == version;
}

constexpr uint32_t kNoPlace = UINT32_MAX;

uint32_t place_of(const Zone& zone, uint64_t tag) {
    for (uint32_t place = 0; place < places(zone); ++place) {
        if (tag_at(zone, place) == tag) {
            return place;
        }
    }
    return kNoPlace;
}

void write(Override* to, const NewOverride& wanted) {
    uint64_t version = to->version.load(std::memory_order_relaxed);
    to->version.store(version | 1);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    to->limit = *wanted.limit;
    to->expires_at = wanted.expires_at;
    to->policy = wanted.policy;
    to->rate_size = static_cast<uint8_t>(wanted.rate.size());
    std::memcpy(to->rate, wanted.rate.data(), wanted.rate.size());
    to->key_size =
        static_cast<uint8_t>(wanted.is_shown ? wanted.key.copy(to->key, kMaxTopKeyText)
                                             : copy_shown_key(wanted.key, to->key, kMaxTopKeyText));
    to->version.store((version | 1) + 1, std::memory_order_release);
}

void free_place(const Zone& zone, uint32_t place) {
    zone.override_tag(place)->store(0, std::memory_order_release);
}

/** Fewer places to look at, where the last ones are free. */
void shrink(const Zone& zone) {
    uint32_t count = places(zone);
    while (count > 0 && tag_at(zone, count - 1) == 0) {
        --count;
    }
    zone.header()->overrides.store(count, std::memory_order_release);
}

/** Returns the place of the tag's override, or a free one; kMaxOverrides if there is none. */
uint32_t place_for(const Zone& zone, uint64_t tag, Millis monotonic) {
    uint32_t place = place_of(zone, tag);
    if (place != kNoPlace) {
        return place;
    }
    drop_expired_overrides(zone, monotonic);
    place = place_of(zone, 0);
    return place != kNoPlace ? place : places(zone);
}

}  // namespace

bool read_override(const Zone& zone, uint32_t place, Millis monotonic, OverrideView* found) {
    uint64_t tag = tag_at(zone, place);
    return tag != 0 && copy_of(*zone.override_at(place), monotonic, found) &&
           found->expires_in > 0 && tag_at(zone, place) == tag;
}

bool find_override(const Zone& zone, uint64_t tag, Millis monotonic, OverrideView* found) {
    uint32_t place = place_of(zone, tag);
    return place != kNoPlace && read_override(zone, place, monotonic, found);
}

bool has_room_for_override(const Zone& zone, uint64_t tag, Millis monotonic) {
    return place_for(zone, tag, monotonic) != kMaxOverrides;
}

bool set_override(const Zone& zone, const NewOverride& wanted, Millis monotonic) {
    if (wanted.rate.size() > kMaxRateText) {
        return false;
    }
    const uint32_t place = place_for(zone, wanted.tag, monotonic);
    if (place == kMaxOverrides) {
        return false;
    }
    write(zone.override_at(place), wanted);
    zone.override_tag(place)->store(wanted.tag, std::memory_order_release);
    if (place == places(zone)) {
        zone.header()->overrides.store(place + 1, std::memory_order_release);
    }
    return true;
}

bool remove_override(const Zone& zone, uint64_t tag, Millis monotonic) {
    uint32_t place = place_of(zone, tag);
    OverrideView found;
    if (place == kNoPlace) {
        return false;
    }
    bool was_there = read_override(zone, place, monotonic, &found);
    free_place(zone, place);
    shrink(zone);
    return was_there;
}

void drop_expired_overrides(const Zone& zone, Millis monotonic) {
    for (uint32_t place = 0; place < places(zone); ++place) {
        if (zone.override_at(place)->expires_at <= monotonic) {
            free_place(zone, place);
        }
    }
    shrink(zone);
}

void forget_overrides(const Zone& zone, uint32_t policy) {
    for (uint32_t place = 0; place < places(zone); ++place) {
        if (zone.override_at(place)->policy == policy) {
            free_place(zone, place);
        }
    }
    shrink(zone);
}

void copy_overrides(const Zone& from, const Zone& to) {
    uint32_t count = places(from);
    for (uint32_t place = 0; place < count; ++place) {
        std::memcpy(static_cast<void*>(to.override_at(place)),
                    static_cast<const void*>(from.override_at(place)), sizeof(Override));
        to.override_tag(place)->store(tag_at(from, place));
    }
    to.header()->overrides.store(count);
}

}  // namespace ai_limit
