#pragma once

#include "core/words/types.h"

namespace ai_limit {

/**
 * The usage of a request, actual or expected, by kind. If an API reports only the total, all of it
 * counts as input. A fraction is rounded up when it is read, so half a second is one.
 *
 * The parts of a whole are disjoint. An answer may report more parts than the whole has;
 * weigh() then takes them in the order below, up to the whole.
 */
struct TokenCounts {
    Amount input = 0;   // with all of its parts
    Amount output = 0;  // with all of its parts

    // parts of `input`
    Amount cached_input = 0;    // read from a cache
    Amount cache_write = 0;     // written to a cache, for 5 minutes
    Amount cache_write_1h = 0;  // written to a cache, for an hour
    Amount audio_input = 0;

    // parts of `output`
    Amount reasoning = 0;
    Amount audio_output = 0;

    // no tokens
    Amount images = 0;
    Amount searches = 0;
    Amount seconds = 0;  // of sound
    Amount cost = 0;     // the price of it all, in millionths of a dollar, if the answer names it
};

}  // namespace ai_limit
