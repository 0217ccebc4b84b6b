#pragma once

// The words that the calls of both scripts have in common (script_call.h).

#include "redis/script/script_call.h"
#include "redis/script/script_state.h"

namespace ai_limit {

/** True if requests have something in flight by this limit. */
inline bool has_member(const Limit& limit) {
    return limit.measure != Measure::kRequests;
}

/** True if the name of a member says what it has reserved. */
bool reserves(const Limit& limit);

/** Adds a member: `worker-number`; `worker-number:amount` of one that reserves something. */
void add_member(const MemberId& id, bool has_amount, Amount reserved, MessagePack* arguments);

void add_node(uint64_t node, MessagePack* arguments);

/** Adds the arguments about a charge that is to be taken. */
void add_charge(const RedisCharge& redis_charge, Now now, MessagePack* arguments);

/** Returns an empty pack for the arguments of the call that is being written. */
MessagePack* empty_arguments();

/** Returns the script's answer, which is a text; any other reply has no numbers. */
std::string_view packed_in(const Reply& reply);

/** The script's answer about one charge. */
struct ChargeReply {
    bool fits;
    Amount reserved;
    State state;
};

void read_charge_reply(const Counted& counted, PackedNumbers* numbers, ChargeReply* charge_reply);

}  // namespace ai_limit
