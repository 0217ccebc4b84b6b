#include "core/table.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ai_limit {

uint64_t hash_key(const Zone& zone, std::string_view key) {
    return XXH3_64bits_withSecret(key.data(), key.size(), zone.header()->secret, kSecretBytes);
}

void store_entry(Journal* journal, Cell cell, const Geometry& geometry, uint64_t tag,
                 const State& state) {
    if (cell.bucket->tags[cell.index] != tag) {
        journal->write(&cell.bucket->tags[cell.index], tag);
    }
    uint64_t* words = state_words(cell.bucket, geometry, cell.index);
    for (uint32_t i = 0; i < geometry.state_words; ++i) {
        if (words[i] != state.words[i]) {
            journal->write(&words[i], state.words[i]);
        }
    }
}

void erase_entry(Journal* journal, Cell cell) {
    journal->write(&cell.bucket->tags[cell.index], 0);
}

}  // namespace ai_limit
