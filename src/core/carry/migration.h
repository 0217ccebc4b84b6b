#pragma once

#include "core/zone/journal.h"

namespace ai_limit {

/**
 * Copies a zone in use into a new one of another size that nobody uses yet. Both have the same
 * secret. Requests in flight are copied with the processes that they belong to: these keep their
 * slots in the new zone until they end. If not all entries fit, those that matter least are left
 * out.
 */
void copy_zone(Journal* from, const Zone& to, Now now);

}  // namespace ai_limit
