#pragma once

// A small zone that has all its parts, and the time at which tests of what it remembers for hours
// begin.

#include "core/words/types.h"
#include "zone_memory.h"

namespace ai_limit {

constexpr Millis kHour = 3'600'000;
constexpr Millis kStart = Millis{1'790'000'000} * 1000;

inline ZoneSizes small_sizes() {
    return sizes_for(64 * 1024, true, false);
}

}  // namespace ai_limit
