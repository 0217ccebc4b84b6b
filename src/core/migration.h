#pragma once

#include "core/journal.h"

namespace ai_limit {

/**
 * Copies what a zone in use holds into a new one of another size that nobody uses yet; both have
 * the same secret. Requests in flight are copied with the processes that they belong to: those keep
 * their slots in the new zone until these processes end. What does not fit is what matters least.
 */
void copy_zone(Journal* from, const Zone& to, Now now);

}  // namespace ai_limit
