#pragma once

#include "core/limit.h"
#include "core/state.h"

namespace ai_limit::token_bucket {

// In any interval of length T at most capacity + T * rate passes. Exact: what has come back but is
// not a whole one yet is kept as a fraction, so nothing is lost however often the bucket is looked at.

/** Gives back what has come back by `now`. A clock that stepped back gives nothing. */
void advance(const Limit& limit, TokenBucketState* state, Millis now);

/** Milliseconds from `now` until `amount` of what is used have come back, rounded up. */
Millis until_back(const Limit& limit, const TokenBucketState& state, Amount amount, Millis now);

}  // namespace ai_limit::token_bucket
