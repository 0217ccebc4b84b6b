#pragma once

#include "core/types.h"

namespace ai_limit {

/**
 * Whether of a request's policies `one` speaks for all rather than `other`: one that refuses rather
 * than one that does not, with a longer wait than another that refuses, or with a smaller part of
 * its limit remaining than another that does not. Of two that refuse for ever, one whose limit is 0
 * speaks. Of equals, the first that is asked for stays.
 */
bool speaks_rather(const Description& one, const Description& other);

}  // namespace ai_limit
