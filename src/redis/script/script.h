#pragma once

// The Lua script by which Redis decides in place of the zone, for all nodes, by its own clock. It
// does exactly what core/ does (algorithm.h, admission.h, settlement.h). Its text is in the files
// fields.lua, algorithms.lua, keys.lua, charges.lua and script.lua of this folder. Its calls:
//
//   KEYS: for each policy the key of its state, and that of its flights if its member is not "".
//   "sync" has the key of the state and that of the nodes' reports.
//   ARGV: the name of the call, and all that follows it here as MessagePack, one value behind the
//   other. The answer is an array in MessagePack.
//
//   "take", lease, n, then for each policy POLICY, member, cost, dry
//       Charges all or none. Answers passes, now, then for each policy verdict, reserved, fields.
//   "grow", lease, POLICY, member, more, former
//       Replaces the member `former`, which is in flight, by one that has reserved `more` more, if
//       that fits. The member is renewed in any case. The same call again only renews it. Answers
//       whether the member is in flight
//       under either name, then as "take" from now on; the verdict is 1 if it has grown.
//   "settle", n, then for each policy POLICY, member, reserved, amount
//       Ends a member that is still in flight: its reservation goes, `amount` is used. The seed
//       says what the node knows, that included; it is taken over from the last member that ends.
//       Without a member `amount` is negative and given back. Answers now.
//   "renew", lease, n, then for each policy kind, m, and m members
//       They stay in flight for another lease. In tokens, those whose lease was over stay gone,
//       unless Redis has lost its data. Answers now.
//   "sync", node, n, then for each policy POLICY, life, counted, acknowledged
//       Reports what a node has let through by itself (ledger.h); the seed says what it knows, that
//       included. The same report again changes nothing. Answers like "take", but without passes.
//   "look", POLICY
//       Answers now, whether anything is used, reserved, fields.
//   "forget", POLICY
//       Answers the same, then clears what is used.
//   "heartbeat", node, lease
//       Announces a node for so long. KEYS[1] lists all nodes. Answers now, how many.
//   "probe"
//       Writes KEYS[1] for a second. Answers now.
//
//   POLICY    kind, capacity, p1, p2, p3, p4, seed
//   kind      "b" token_bucket, "s" sliding_window, "f" fixed_window, "c" concurrency
//   p1 .. p4  b: refill_amount, refill_millis, fills_in, nil
//             s: length of a sub-window in ms, nil, nil, nil
//             f: starts of the previous, the present, the next window and of the one after, in
//                seconds since the epoch
//             c: nil, nil, nil, nil
//   seed      "" or a packed state, for the case that Redis has none
//   member    "" for requests. Else a name in flight, unique for ever: an id of concurrency's,
//             "<id>:<reserved>" in tokens and dollars.
//   dry       true for a dry run
//   verdict   1 if the charge fits by itself, else 0
//   fields    after the decision, advanced to now, b: used, at, remainder, refill_millis
//             s: last, u0 .. u8   f: used, start, end   c: count
//
// Times are in milliseconds since the epoch by Redis's clock, all numbers integers.
//
// A state is MessagePack: [1, reserved, used, at, remainder, refill_millis] of a token_bucket,
// [4, reserved, length, last, u0 .. u8] of a sliding_window whose last charge was at that time,
// [3, reserved, used, start, end] of a fixed_window. There is none if nothing is used or reserved.
// Flights are a sorted set: members by the ends of their leases. A hash keeps what nodes have
// reported: by node, the life of its ledger and what that has counted. All of them expire when they
// say nothing any more.

#include <string_view>

namespace ai_limit {

/** The script's text. */
std::string_view limit_script();

/** Returns the script's SHA-1 for EVALSHA: 40 hexadecimal digits. */
std::string_view limit_script_sha1();

/** The text of the script that also decides on sharers and turns (fair_call.h). */
std::string_view fair_script();

/** Returns its SHA-1. */
std::string_view fair_script_sha1();

/** Returns the script that has this SHA-1; "" if none has. */
std::string_view script_with_sha1(std::string_view sha1);

}  // namespace ai_limit
