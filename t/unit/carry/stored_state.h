#pragma once

// State files in memory: written, mended, and read into a zone of a test's own.

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "core/carry/state_format.h"
#include "zone_memory.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ai_limit {

constexpr StateOrigin kOrigin = {77, 4242, 0};

inline bool append(void* data, const char* bytes, size_t size) {
    static_cast<std::string*>(data)->append(bytes, size);
    return true;
}

inline std::string state_of(const Zone& zone, Now now) {
    std::string bytes;
    EXPECT_TRUE(write_state(zone, kOrigin, now, {append, &bytes}));
    return bytes;
}

/** Gives a file that was changed the right checksum. */
inline void mend_sum(std::string* file) {
    const size_t summed = file->size() - kStateSumBytes;
    const uint64_t sum = XXH3_64bits(file->data(), summed);
    std::memcpy(file->data() + summed, &sum, sizeof(sum));
}

/** A zone that was read from a file. */
struct Restored {
    Restored(const std::string& bytes, Now now, const ZoneSizes& sizes) : memory(sizes) {
        EXPECT_EQ(check_state(bytes), StateFault::kNone);
        memory.clear();
        zone = Zone::create(memory.data(), sizes, secret_of_state(bytes));
        ZoneUser user(zone, &kAllAlive, 9);
        read_state(bytes, user.journal(), now);
        user.journal()->retire(user.journal()->number());
    }

    ZoneMemory memory;
    Zone zone;
};

}  // namespace ai_limit
