#pragma once

// Start-time fair queueing (Goyal, Vin and Cheng, 1996): the order in which sharers that wait for a
// key are served. Each service has a start and a finish in virtual time. It starts where the
// sharer's former one has finished, or at the key's virtual time if that is later, and lasts for
// its cost over the sharer's weight. The next to be served is whose service starts first, and the
// key's virtual time is the start of the latest service. A sharer that did not ask for a while has
// saved up nothing.
//
// Virtual times have 48 bits and are compared modulo 2^48. One limit's capacity, at weight 1, is
// 2^24, so sharers would have to be millions of limits apart to be taken for each other.

#include "core/sharers/part.h"

namespace ai_limit {

/** Returns where a service would start: of the sharer whose state this is, at the key's virtual
 * time `served`. A sharer that was not active lately starts there. */
uint64_t start_of_service(const Limit& limit, const SharerState& sharer, uint64_t served,
                          Millis now);

/** Returns the same for a request that comes now. A sharer that was not active is from now on, and
 * owes nothing. */
uint64_t begin_service(const Limit& limit, uint64_t served, Millis now, SharerState* sharer);

/** Notes in the sharer's state that it is served from `start` on. */
void note_service(const SharerAsk& ask, uint64_t start, SharerState* sharer);

/** Corrects the latest service: what was charged `charged` has used `used`. */
void correct_service(const Limit& limit, Amount charged, Amount used, SharerState* sharer);

/** Moves the key's virtual time on to the start of a service. */
void advance_service(KeyActivity* activity, uint64_t start);

/** The later one of two virtual times. */
uint64_t later_service(uint64_t one, uint64_t other);

}  // namespace ai_limit
