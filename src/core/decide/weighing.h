#pragma once

#include "core/decide/charge_entries.h"

namespace ai_limit {

/**
 * Compares what an entry has counted with its charge's limit, and leaves state and verdict in the
 * charge. Returns true if the charge fits. The entry's buckets are locked, and the entries of the
 * policy's reservation, ledger and sharer were weighed before that of its use. Writes nothing.
 */
bool weigh(ChargeEntry* entry, Now now);

}  // namespace ai_limit
