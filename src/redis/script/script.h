#pragma once

// The Lua script by which Redis decides in place of the zone, for all nodes, by its own clock. It
// does exactly what core/ does (algorithm.h, admission.h, settlement.h). Its calls:
//
//   KEYS: per charge the key of its state and, if its member is not "", of its flights; for the
//   report of a node, the key of the state and of what the nodes have reported.
//   ARGV: the name of the call, and all that follows it here as MessagePack, one value behind the
//   other. The answer is an array in MessagePack.
//
//   "take", lease, n, then for each charge kind, member, cost, capacity, dry, p1, p2, p3, p4, seed
//       Charges all or none; answers passes, now, then for each charge verdict, held, its fields.
//   "settle", n, then for each kind, member, held, amount, capacity, p1, p2, p3, p4, seed
//       Ends a member that is still in flight: its reservation goes, `amount` is used. The seed
//       says what the node knows, that included; it is taken over from the last member that ends.
//       Without a member `amount` is negative and given back. Answers now.
//   "renew", lease, n, then for each kind, m, and m members
//       They stay in flight for another lease. In tokens, those whose lease was over stay gone,
//       unless Redis has lost its data. Answers now.
//   "tell", node, n, then for each kind, capacity, p1, p2, p3, p4, seed, life, counted,
//   acknowledged
//       Reports what a node has let through by itself (ledger.h); the seed says what it knows, that
//       included. The same report again changes nothing. Answers like "take", but without passes.
//   "beat", node, lease
//       Announces a node for so long. KEYS[1] lists all nodes. Answers now, how many.
//   "probe"
//       Writes KEYS[1] for a second. Answers now.
//
//   kind      "b" token_bucket, "s" sliding_window, "f" fixed_window, "c" concurrency
//   member    "" for requests. Else a name in flight, unique for ever: an id of concurrency's,
//             "<id>:<held>" in tokens.
//   dry       true for a dry run
//   p1 .. p4  b: refill_amount, refill_millis, fills_in, nil
//             s: length of a sub-window in ms, nil, nil, nil
//             f: starts of the previous, the present, the next window and of the one after, in
//                seconds since the epoch
//             c: nil, nil, nil, nil
//   seed      "" or a packed state, for the case that Redis has none
//   verdict   1 if the charge fits by itself, else 0
//   fields    after the decision, advanced to now, b: used, at, remainder, refill_millis
//             s: last, u0 .. u8   f: used, start, end   c: count
//
// Times are in milliseconds since the epoch by Redis's clock, all numbers integers.
//
// A state is MessagePack: [1, held, used, at, remainder, refill_millis] of a token_bucket,
// [4, held, length, last, u0 .. u8] of a sliding_window whose last charge was at that time,
// [3, held, used, start, end] of a fixed_window; there is none if nothing is used or held.
// Flights are a sorted set: members by the ends of their leases. A hash keeps what nodes have
// reported: by node, the life of its ledger and what that has counted. All of them expire when they
// say nothing any more.

#include <string_view>

namespace ai_limit {

/** The script's text. */
std::string_view limit_script();

/** Returns the script's SHA-1 for EVALSHA: 40 hexadecimal digits. */
std::string_view limit_script_sha1();

}  // namespace ai_limit
