#pragma once

#include "core/decide/charge_entries.h"

namespace ai_limit {

/** Writes a charge that counts() and was weighed into its cell, through the journal. */
void write_charge(ChargeEntry* entry, Now now);

/** Writes what a sharer asked for, and what it has if its request `passes`. */
void write_sharer(ChargeEntry* entry, bool passes, Now now);

/** Marks the entry as one that refuses: it is kept longer than others (eviction.h). */
void mark_as_refusing(const ChargeEntry& entry);

}  // namespace ai_limit
