#pragma once

#include "core/types.h"

namespace ai_limit {

/**
 * What a request used, or is expected to use, in LLM tokens. Where an API tells nothing but the
 * total, all of it counts as input.
 */
struct TokenCounts {
    Amount input = 0;  // cached input included
    Amount output = 0;
    Amount cached_input = 0;  // a part of `input`
};

}  // namespace ai_limit
