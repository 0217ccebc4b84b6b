#pragma once

// What a sharer has of its part of a window. A sliding window is one as well: what the sharer used
// in the last period is estimated from the present and the former stretch of that length.

#include "core/sharers/part.h"

namespace ai_limit {

/** Begins another window if the state's is over. Call it before anything else. */
void enter_window(const Limit& limit, Now now, SharerState* state);

/** What the sharer has used in its window, when it asked last. */
Amount used_in_window(const Limit& limit, const SharerState& state);

/** Adds to that; what was charged too much is taken away. */
void use_in_window(Amount charged, Amount used, SharerState* state);

/** Returns what the sharer needs in its window, of a part of `capacity`. */
Amount need_in_window(const Limit& limit, const SharerState& state, Amount capacity);

/** Returns how many of the latest slices, with the present one, began in the present window. */
uint32_t slices_of_window(const Limit& limit, Now now);

}  // namespace ai_limit
