#pragma once

// Takes over what Redis has said about a decision, or gives back what it may have taken.

#include "nginx/sharing/redis_question.h"

namespace ai_limit {

/** True if all parts are answered; `passes` then says if they let the request pass. */
bool has_answer(const RedisDecision& decision, bool* passes);

/** Writes the answer into the zone and the charges. `passes`: Redis lets the request pass. Returns
 * whether it passes, which a policy of this node alone may forbid. */
bool take_answer(RedisDecision* decision, Decision* one, bool passes);

/** Gives back what Redis took for a request that is refused here, or by another part. */
void give_back(RedisDecision* decision, Now now);

}  // namespace ai_limit
