#pragma once

#include "core/eviction.h"

namespace ai_limit {

/**
 * Puts an entry into a zone that nobody uses yet. Where there is no room, the entry that matters
 * least goes: it may be the new one, then this is false.
 */
bool place_entry(const Zone& to, const Geometry& geometry, uint64_t tag, const State& state,
                 Appraisal worth, Now now);

}  // namespace ai_limit
