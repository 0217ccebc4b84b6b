#include "core/observe/displacement.h"

namespace ai_limit {

namespace {

/** Splitmix64 (Steele et al., 2014), by each process for itself: nothing depends on its quality but
 * which of two has a place. */
uint64_t draw() {
    static uint64_t state = 0;
    uint64_t z = state += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

}  // namespace

bool displaces(uint64_t amount, uint64_t least) {
    __extension__ typedef unsigned __int128 Wide;
    return static_cast<uint64_t>(Wide{draw()} * (least + amount) >> 64) < amount;
}

}  // namespace ai_limit
