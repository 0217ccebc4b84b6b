#include "core/charged_answers.h"

#include <cstring>

#include "core/table.h"
#include "core/zone.h"

namespace ai_limit {

namespace {

constexpr unsigned kMinuteBits = 24;
constexpr uint64_t kMinuteMask = (uint64_t{1} << kMinuteBits) - 1;
constexpr Millis kMinute = 60'000;
constexpr uint64_t kMinutesKept = kAnswerMemory / kMinute;

AnswerSet* set_of(const Zone& zone, uint64_t hash) {
    return zone.answers(static_cast<uint32_t>(hash % kAnswerSets));
}

uint64_t mark_of(uint64_t hash) {
    uint64_t mark = hash & ~kMinuteMask;
    return mark != 0 ? mark : kMinuteMask + 1;
}

uint64_t minute_of(Millis wall) {
    return static_cast<uint64_t>(wall / kMinute) & kMinuteMask;
}

/** Minutes since a place was written. A clock that was set back makes it young. */
uint64_t age_of(uint64_t way, Millis wall) {
    uint64_t age = (minute_of(wall) - way) & kMinuteMask;
    return age > kMinuteMask / 2 ? 0 : age;
}

bool is_mark(uint64_t way, uint64_t mark) {
    return (way & ~kMinuteMask) == mark;
}

}  // namespace

// The set and the mark take different bits of the hash.
static_assert(kAnswerSets <= kMinuteMask + 1);

uint64_t hash_answer(const Zone& zone, uint64_t key, std::string_view id) {
    char text[sizeof(key) + kMaxAnswerId];
    std::memcpy(text, &key, sizeof(key));
    size_t size = id.copy(text + sizeof(key), kMaxAnswerId);
    return hash_key(zone, {text, sizeof(key) + size});
}

bool is_answer_charged(const Zone& zone, uint64_t hash, Millis wall) {
    for (const std::atomic<uint64_t>& way : set_of(zone, hash)->ways) {
        uint64_t found = way.load(std::memory_order_relaxed);
        if (is_mark(found, mark_of(hash))) {
            return age_of(found, wall) < kMinutesKept;
        }
    }
    return false;
}

void note_charged_answer(const Zone& zone, uint64_t hash, Millis wall) {
    std::atomic<uint64_t>* place = nullptr;
    uint64_t most = 0;
    for (std::atomic<uint64_t>& way : set_of(zone, hash)->ways) {
        uint64_t found = way.load(std::memory_order_relaxed);
        if (is_mark(found, mark_of(hash))) {
            place = &way;
            break;
        }
        uint64_t age = found != 0 ? age_of(found, wall) : kMinuteMask;
        if (place == nullptr || age > most) {
            place = &way;
            most = age;
        }
    }
    place->store(mark_of(hash) | minute_of(wall), std::memory_order_relaxed);
}

bool is_answer_kept(uint64_t way, Millis wall) {
    return age_of(way, wall) < kMinutesKept;
}

void copy_charged_answers(const Zone& from, const Zone& to) {
    for (uint32_t set = 0; set < kAnswerSets; ++set) {
        for (uint32_t way = 0; way < kAnswerWays; ++way) {
            uint64_t found = from.answers(set)->ways[way].load(std::memory_order_relaxed);
            if (found != 0) {  // leaves pages that are empty untouched
                to.answers(set)->ways[way].store(found, std::memory_order_relaxed);
            }
        }
    }
}

}  // namespace ai_limit
