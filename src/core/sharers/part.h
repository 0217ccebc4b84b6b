#pragma once

// Max-min shares of a key that several sharers use. A sharer's part of the limit is its weight over
// the weights of all that are active (activity.h): such a part of the rate and the burst, of a
// window's quota, or of the slots. A request that fits the part passes if the key has room. A
// request beyond the part may use what the others do not need: it passes if the key then still has
// what they claim. A part that was lent is not counted against who borrowed it, except in a window.
//
// What a sharer needs is at most its part, and follows from what it asks for: of a rate and of
// slots, what it lately asked for at once; in a window, what it asked for in the window before, or
// its whole part if that is not known.
//
// Only the key's own limit decides how much passes in all; the parts decide for whom it is.

#include "core/limits/state.h"
#include "core/sharers/activity.h"

namespace ai_limit {

constexpr uint32_t kMaxSharerWeight = 1000;

/** A request of one sharer. */
struct SharerAsk {
    const Limit* limit;  // of the key
    uint32_t weight;     // 1 to kMaxSharerWeight
    Amount cost;         // what must fit, in the limit's unit; at least 1
    // Nodes that divide the limit among them: each is taken to have sharers as this one has.
    uint32_t nodes = 1;
};

/** How a request stands to the part of its sharer. */
struct SharerPart {
    bool is_own;       // it fits the part
    Amount left;       // of the part, before it
    Amount claimed;    // by others: what a request beyond the part must leave to them
    Millis wait;       // until it fits the part; 0 if it does, or if nobody knows
    Amount need;       // of the sharer: its part, or less
    uint64_t weights;  // of all active sharers
};

/** Brings the state of a sharer up to `now`, notes what it asks for, and compares it with its part.
 * `activity`: of the key; nullptr: there are no others. */
SharerPart weigh_sharer(const SharerAsk& ask, const KeyActivity* activity, Now now,
                        SharerState* state);

/** Notes in a state that was weighed what its request takes; 0 if it is refused. */
void note_decision(const Limit& limit, const SharerPart& part, Amount taken, SharerState* state);

/** Corrects what a request took of its sharer's part: it was charged `charged` and used `used`. */
void correct_part(const Limit& limit, const SharerPart& part, Amount charged, Amount used,
                  SharerState* state);

/** Returns in which time so much comes back of the sharer's part of a rate, or kNever. */
Millis time_of_part(const SharerAsk& ask, uint64_t weights, Amount amount);

/** Takes back slots in flight. The sums keep them until note_counted(). */
void give_back_slots(Amount slots, SharerState* state);

/** Notes that the sums of the key will count the slots in flight as they are. */
void note_counted(const Limit& limit, SharerState* state);

/** What a sharer has of its key at a moment, for operators. */
struct SharerUse {
    Amount part;  // of the limit's capacity; 0 if the sharer is not active
    Amount used;
    Amount need;
    uint32_t weight;
};

/** Describes the sharer whose state this is. `activity`: of the key; nullptr: there are no others.
 * `nodes`: that divide the limit (SharerAsk). */
SharerUse use_of_sharer(const Limit& limit, const KeyActivity* activity, Now now,
                        const SharerState& state, uint32_t nodes = 1);

/** Returns how the sharer counts in the sums of its key, whose limit this is. */
Activity activity_of(const Limit& limit, const SharerState& state);

}  // namespace ai_limit
