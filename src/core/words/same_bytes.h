#pragma once

// Compares short texts, such as the names of models. A call of memcmp() takes longer than all of
// it.

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ai_limit {

inline uint64_t load_word(const char* bytes) {
    uint64_t word;
    std::memcpy(&word, bytes, sizeof word);
    return word;
}

/** True if so many bytes are the same. Compares eight at a time; quick from eight bytes on. */
inline bool are_same_bytes(const char* a, const char* b, size_t size) {
    if (size < sizeof(uint64_t)) {
        return std::memcmp(a, b, size) == 0;
    }
    const size_t last = size - sizeof(uint64_t);
    uint64_t difference =
        (load_word(a) ^ load_word(b)) | (load_word(a + last) ^ load_word(b + last));
    for (size_t i = sizeof(uint64_t); i < last; i += sizeof(uint64_t)) {
        difference |= load_word(a + i) ^ load_word(b + i);
    }
    return difference == 0;
}

}  // namespace ai_limit
