#pragma once

// Notices when a key passes the part of its limit that `warn=` names: once, until it has used less
// again. A mark beside the key's entry remembers that (zone.h). Its bucket is locked only to change
// the mark. An entry that is moved keeps its mark, one that is copied to another zone loses it.

#include "core/decide/charge.h"

namespace ai_limit {

/** The use of a limit at which a key is warned of, and below which it can be warned of again. */
struct WarningLevels {
    Amount passed;
    // Lower by an eighth: a key that stays at its rate goes up and down by a request or two.
    Amount below;
};

/** `percent`: 1 to 100, of a limit that is not 0. */
constexpr WarningLevels warning_levels(Amount limit, uint32_t percent) {
    const Amount passed = (limit * percent + 99) / 100;
    return {passed, passed - passed / 8};
}

/**
 * Returns true if the key of a charge has passed the part of its limit, and nobody has been told so
 * since it was below. `taken`: what a request has just used of the limit, which `after` includes.
 * Call this with no bucket locked.
 */
bool passes_warning(const Charge& charge, uint32_t percent, Amount taken, const State& after);

}  // namespace ai_limit
