#pragma once

// Asks Redis to reserve more for a request that is in flight there. Nobody waits for the answer:
// the answer's text goes on meanwhile.

#include "nginx/sharing/redis_flights.h"

namespace ai_limit {

/**
 * Asks Redis for `more` tokens. The answer is noted in the flight: `reserved` has grown, or
 * `growing` says why not; and 0 is written to `next_text`, which must last as long as the flight.
 * If Redis cannot be asked, the flight is marked as unknown there. While it is not known what Redis
 * has made of an earlier question, that is asked again.
 */
void ask_growth(Flight* flight, Amount more, uint64_t* next_text);

/** True while Redis is asked. */
inline bool is_asked(const Flight& flight) {
    return flight.question != nullptr;
}

/** Asks once more what Redis has made of a question, unless it is being asked. */
void ask_again(Flight* flight);

/** The flight ends: an answer does not matter to it any more. */
void forget_question(Flight* flight);

}  // namespace ai_limit
