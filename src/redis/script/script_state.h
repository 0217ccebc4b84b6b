#pragma once

// The limits and the states of the algorithms, as the script that decides in Redis has them
// (script.h).

#include "core/decide/admission.h"
#include "redis/protocol/message_pack.h"

namespace ai_limit {

/** The limit, the zone and the policy that a state belongs to. */
struct Counted {
    const Limit* limit;
    const Zone* zone;
    uint32_t policy;
};

/** The end of the times that the script answers, in milliseconds or seconds. */
constexpr uint64_t kAnyTime = uint64_t{1} << 52;

/** Adds the letter that names the limit's algorithm. */
void add_kind(const Limit& limit, MessagePack* arguments);

/** Adds the arguments about a limit: kind, capacity and the limit's own four numbers. `wall` is
 * this node's idea of Redis's time. */
void add_limit(const Limit& limit, Millis wall, MessagePack* arguments);

/** Adds a text: what is known here of a key's use, as the script keeps states, or nothing. */
void add_seed(const Limit& limit, const State& state, const Zone& zone, MessagePack* arguments);

/** Reads the fields of a state. */
State read_state(const Counted& counted, PackedNumbers* numbers);

}  // namespace ai_limit
