#pragma once

#include "core/words/types.h"

namespace ai_limit {

/**
 * True if `one` of a request's policies speaks for all rather than `other`. A policy that refuses
 * goes before one that does not. Among two that refuse, the longer wait goes first. Among two that
 * do not, the smaller remaining part of the limit goes first. Among two that refuse for ever, one
 * whose limit is 0, or that has no price for the request, goes first. Among equals, the first one
 * asked for stays.
 */
bool speaks_rather(const Description& one, const Description& other);

}  // namespace ai_limit
