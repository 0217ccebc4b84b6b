#pragma once

// The names of who shares keys, for operators. A sharer's entry has only a hash of its name, so the
// first sharers of a policy to come have a place here, until they have not asked for a minute and
// another one needs it.

#include <string_view>

#include "core/words/types.h"
#include "core/zone/sharer_names.h"

namespace ai_limit {

/** A sharer that asks for a key. */
struct AskingSharer {
    uint64_t tag;      // of its entry: 256 or more
    uint64_t key_tag;  // of the key's
    std::string_view sharer;
    std::string_view key;
};

/** note_sharer() of a sharer that is not at its first place. */
void note_sharer_elsewhere(SharerNames* names, const AskingSharer& one, Millis now);

inline uint32_t first_place_of_sharer(uint64_t tag) {
    return tag >> 32 & (kNamedSharers - 1);
}

/** Notes that the sharer is active. Other processes write the time as well. `now`: monotonic. */
inline void note_asking(SharerLabel* label, Millis now) {
    constexpr uint64_t kOften = 1'000;
    const auto at = static_cast<uint64_t>(now);
    if (at - label->asked_at.load(std::memory_order_relaxed) > kOften) {
        label->asked_at.store(at, std::memory_order_relaxed);
    }
}

/** Remembers the name of a sharer that asks. `now`: monotonic. */
inline void note_sharer(SharerNames* names, const AskingSharer& one, Millis now) {
    const uint32_t place = first_place_of_sharer(one.tag);
    if (names->tags[place].load(std::memory_order_relaxed) == one.tag) {
        note_asking(&names->labels[place], now);
    } else {
        note_sharer_elsewhere(names, one, now);
    }
}

/** A sharer whose name is known. */
struct NamedSharer {
    uint64_t tag;
    uint64_t key_tag;
    ShownName sharer;
    ShownName key;
};

/** Reads a policy's named sharers into `sharers`, which has room for kNamedSharers; returns how
 * many there are. They may have ceased to be active. */
size_t read_named_sharers(const SharerNames& names, NamedSharer* sharers);

/** For a number that is given to another policy. */
void forget_sharers(SharerNames* names);

}  // namespace ai_limit
