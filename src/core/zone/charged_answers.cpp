#include "core/zone/charged_answers.h"

#include <algorithm>
#include <cstring>

#include "core/zone/table.h"
#include "core/zone/zone.h"

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

/** Rates how well a new answer can take the place: by the age of the answer in it. */
uint64_t age_of_place(uint64_t way, Millis wall) {
    return way != 0 ? age_of(way, wall) : kMinuteMask;
}

PartSet* parts_of(const Zone& zone, uint64_t hash) {
    return zone.answer_parts(static_cast<uint32_t>(hash % kPartSets));
}

PartSet::Way* find_part(const Zone& zone, uint64_t hash) {
    for (PartSet::Way& place : parts_of(zone, hash)->ways) {
        if (is_mark(place.way.load(std::memory_order_relaxed), mark_of(hash))) {
            return &place;
        }
    }
    return nullptr;
}

constexpr unsigned kHalf = 32;
constexpr Amount kMostPart = UINT32_MAX;

/** In place of the hash of a client's key. */
constexpr uint64_t kPriceOfAnswer = 0;

/** Returns the second word of an answer; 0 if there is none, or it is forgotten. */
uint64_t word_of(const Zone& zone, uint64_t hash, Millis wall) {
    const PartSet::Way* place = find_part(zone, hash);
    if (place == nullptr ||
        age_of(place->way.load(std::memory_order_relaxed), wall) >= kMinutesKept) {
        return 0;
    }
    return place->amounts.load(std::memory_order_relaxed);
}

void note_word(const Zone& zone, uint64_t hash, uint64_t word, Millis wall) {
    PartSet::Way* place = find_part(zone, hash);
    if (place == nullptr) {
        PartSet* set = parts_of(zone, hash);
        place = std::max_element(
            set->ways, set->ways + kPartWays, [wall](const auto& one, const auto& other) {
                return age_of_place(one.way.load(std::memory_order_relaxed), wall) <
                       age_of_place(other.way.load(std::memory_order_relaxed), wall);
            });
    }
    // A process that is killed here leaves no place with the word of another answer.
    place->way.store(0, std::memory_order_release);
    place->amounts.store(word, std::memory_order_release);
    place->way.store(mark_of(hash) | minute_of(wall), std::memory_order_release);
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
        const uint64_t age = age_of_place(found, wall);
        if (place == nullptr || age > most) {
            place = &way;
            most = age;
        }
    }
    place->store(mark_of(hash) | minute_of(wall), std::memory_order_relaxed);
}

ChargedPart charged_part(const Zone& zone, uint64_t hash, Millis wall) {
    const uint64_t amounts = word_of(zone, hash, wall);
    return {amounts & kMostPart, amounts >> kHalf};
}

void note_charged_part(const Zone& zone, uint64_t hash, const ChargedPart& part, Millis wall) {
    note_word(zone, hash,
              std::min(part.input, kMostPart) | std::min(part.output, kMostPart) << kHalf, wall);
}

uint64_t hash_answer_price(const Zone& zone, std::string_view id) {
    return hash_answer(zone, kPriceOfAnswer, id);
}

uint64_t answer_price(const Zone& zone, uint64_t hash, Millis wall) {
    return word_of(zone, hash, wall);
}

void note_answer_price(const Zone& zone, uint64_t hash, uint64_t number, Millis wall) {
    note_word(zone, hash, number, wall);
}

TokenCounts remaining(const TokenCounts& used, const ChargedPart& part) {
    TokenCounts rest = used;
    rest.input -= std::min(rest.input, part.input);
    rest.output -= std::min(rest.output, part.output);
    rest.cached_input = std::min(rest.cached_input, rest.input);
    rest.cache_write = std::min(rest.cache_write, rest.input);
    rest.cache_write_1h = std::min(rest.cache_write_1h, rest.input);
    rest.audio_input = std::min(rest.audio_input, rest.input);
    rest.reasoning = std::min(rest.reasoning, rest.output);
    rest.audio_output = std::min(rest.audio_output, rest.output);
    return rest;
}

bool is_answer_kept(uint64_t way, Millis wall) {
    return age_of(way, wall) < kMinutesKept;
}

void copy_charged_answers(const Zone& from, const Zone& to) {
    const AnswerSet* sets = from.answers(0);
    for (uint32_t set = 0; set < kAnswerSets; ++set) {
        for (uint32_t way = 0; way < kAnswerWays; ++way) {
            uint64_t found = sets[set].ways[way].load(std::memory_order_relaxed);
            if (found != 0) {  // leaves pages that are empty untouched
                to.answers(set)->ways[way].store(found, std::memory_order_relaxed);
            }
        }
    }
    const PartSet* part_sets = from.answer_parts(0);
    for (uint32_t set = 0; set < kPartSets; ++set) {
        for (uint32_t i = 0; i < kPartWays; ++i) {
            const PartSet::Way& place = part_sets[set].ways[i];
            const uint64_t found = place.way.load(std::memory_order_relaxed);
            if (found != 0) {
                PartSet::Way* copy = &to.answer_parts(set)->ways[i];
                copy->amounts.store(place.amounts.load(std::memory_order_relaxed));
                copy->way.store(found);
            }
        }
    }
}

}  // namespace ai_limit
