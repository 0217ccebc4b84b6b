#pragma once

// What becomes of a sharer's charge after the decision.

#include "core/decide/charge.h"

namespace ai_limit {

/** Returns the hash of a sharer of the key whose entry has this tag. `sharer`: by hash_key(). */
uint64_t hash_sharer(uint64_t key_tag, uint64_t sharer);

/** Says in the description of a policy after its decision what remains for the request's sharer,
 * and how long that has to wait. */
void describe_part(const PolicyCharge& charge, Now now, Description* said);

/** Returns how much of the room that a key has is for a sharer. */
Amount room_of_sharer(const SharerPart& part, Amount room);

/** Returns what is left of the part of a sharer to a request that runs. */
SharerPart weigh_growth(const PolicyCharge& charge, Now now);

/** Notes that a request that runs has taken more. */
void take_more(PolicyCharge* charge, Amount more);
/** Returns where the next service of the charge's sharer starts now. */
uint64_t next_service(const PolicyCharge& charge, Now now);

/** Corrects what a request that passed has taken of its sharer's part, when it turns out to have
 * used `used`, in the limit's unit. */
void settle_sharer(const PolicyCharge& charge, Amount used);

/** Gives back the slot that a sharer's request had. */
void end_sharer(const PolicyCharge& charge);

}  // namespace ai_limit
