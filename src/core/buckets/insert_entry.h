#pragma once

#include "core/buckets/eviction.h"

namespace ai_limit {

/**
 * Puts an entry into a zone that nobody uses yet. If there is no room, the entry that matters least
 * goes. This may be the new one: then the result is false.
 */
bool insert_entry(const Zone& to, const Geometry& geometry, uint64_t tag, const State& state,
                  Appraisal worth, Now now);

}  // namespace ai_limit
