#pragma once

// The part of a question and of an answer that is about sharers and turns (script_call.h), as the
// script has it that decides on them (fair_script()). It does what core/sharers and core/turns do.
// Its text is in fields.lua, algorithms.lua, keys.lua and charges.lua, which the first script has
// as well, and in sharers.lua, turns.lua and fair.lua. Its calls, in the words of script.h:
//
//   "take", lease, n, then for each policy POLICY, member, cost, dry, SHARER, TURN
//       KEYS: for each policy those of "take" in script.h; with a sharer the keys of its state and
//       of the key's sums, and that of the sharer's flights if the member is not ""; with a turn
//       the key's turns. Charges all or none. Answers passes, now, then for each policy verdict,
//       reserved, fields; with a sharer is_own, left, claimed, wait, need, weights, start, served
//       (SharerPart, RedisSharer); with a turn is_behind, others, others_cost (RedisTurn). The
//       verdict is 1 if the key has room, the sharer's part or what it leaves to others has, and
//       nobody goes before.
//   "end", POLICY, member, slice, is_own, charged, used, cost, growth, grown
//       KEYS: of the sharer's state, of the key's sums, of the sharer's flights if there is a
//       member. Corrects the sharer's part and its service: `charged` was charged, `cost` of it by
//       the decision, and `used` is used. `growth` more was charged if the charge's member had got
//       the name `grown`. Does nothing if the member is not in flight. Answers now.
//   "grow", lease, POLICY, member, more, former, slice, is_own
//       KEYS: those of "grow" in script.h, then those of "end". Does the same, for as much as the
//       sharer may have; answers the same, then how much that was.
//   "leave", node
//       KEYS[1]: the key's turns. Nobody waits at the node any more. Answers now.
//
//   SHARER    weight, slice, floor, member: all 0 and "" without a sharer. `slice` is how long a
//             slice of time is (core/sharers/activity.h). The member is the charge's, without its
//             amount.
//   TURN      node, arrival, count, cost, waits: "", 0, 0, 0, false without a turn
//
// All that it keeps is MessagePack, a name and values one behind the other. A sharer's state: kind,
// weight, at, finish, need, used, fraction, asked, most_asked, before, window, knows_before
// (SharerState; `before` is `low` of slots, else what was used in the window before). The sums of a
// key: "sums", served, then for each slice of time its number, weights, needs, used. Turns:
// "turns", then for each node its name, order, arrival, count, cost, until.
//
// Other than in core/: a quotient whose dividend reaches 2^53 is rounded, and what is used of a
// part of a rate from 2^33 on, in its fraction of 20 bits. A state expires, at the latest when four
// times as many share the key as when it was written, so more of a part may have come back.

#include "redis/script/call_words.h"

namespace ai_limit {

/** True if one of the charges has a sharer or a turn. */
bool are_fair(const RedisCharge* charges, size_t n);

/** write_take() for such charges, and those that are decided with them. */
void write_fair_take(const RedisCharge* charges, size_t n, Now now, Command* command);

/** Begins write_grow() for a member that has a sharer. */
void begin_fair_grow(const RedisFlight& flight, const RedisSharerFlight& sharer, Command* command);

/** The answer about a charge's sharer and its turn. */
struct FairReply {
    SharerPart part;
    uint64_t start;
    uint64_t served;
    bool is_behind;
    uint32_t others;
    Amount others_cost;
};

/** Reads what an answer says about them; nothing if the charge has none. */
void read_fair_reply(const RedisCharge& charge, PackedNumbers* numbers, FairReply* fair_reply);

/** Notes what has been read. */
void take_over(const FairReply& fair_reply, RedisCharge* charge);

}  // namespace ai_limit
