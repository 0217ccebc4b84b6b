#pragma once

// Counts the usage of a policy in Redis that a node has passed and has not yet reported to the
// others.
//
// Each node decides by what it knows: the key's state as Redis last reported it, and its own count
// since then. It may go on by itself up to its share, which is an equal part of what was left then.
// It reports its count to Redis at intervals, and at once when half of its share has gone. All
// nodes together therefore exceed a limit by less than the limit itself. They exceed it by no more
// than all but one of them count between two reports (docs/redis-bound.md).
//
// A ledger lives while it has something to report. Its count only grows and is reported as a sum,
// so a report that arrives twice or out of order changes nothing. The next ledger of the same key
// counts from 0 again, in a life with a higher number.

#include "core/limits/limit.h"
#include "core/limits/state.h"
#include "core/zone/zone.h"

namespace ai_limit {

struct ZoneAccess;

/** The action that the caller must take so that the other nodes learn of a count. */
enum class DeltaDue : uint8_t {
    kNone,     // a worker will report it
    kSoon,     // report it soon: the usage of the other nodes is not known here
    kLater,    // report it after the interval
    kOverdue,  // the same; the process that was due to report it did not
    kNow,      // report it now: half of the share has gone
};

inline Amount unreported(const LedgerState& ledger) {
    return ledger.counted - ledger.acknowledged;
}

/** True if the calendar window of `state` is over in `other`. The counts in it no longer matter. */
bool is_of_older_window(const Limit& limit, const State& state, const State& other);

/** True if the ledger has nothing left to report. */
inline bool is_over(const LedgerState& ledger) {
    return unreported(ledger) == 0 && ledger.due_at == 0 && ledger.asked == 0;
}

/** Returns a node's part of what is left; 0 until the number of nodes is known. */
Amount share_of(const Zone& zone, Amount left);

/**
 * For a zone that may be new: its ledgers have higher numbers than those of zones before it. By
 * milliseconds since the epoch: so long as there are fewer than 2,048 ledgers in each.
 */
void start_ledgers(const Zone& zone, Millis wall);

/** A ledger's new life. */
void begin_ledger(const Zone& zone, uint32_t policy, LedgerState* ledger);

/** Gives the ledger its part of what is left. */
void set_share(const Zone& zone, Amount left, LedgerState* ledger);

/**
 * Returns the amount that Redis has been asked for and may still pass, which is no part of a share.
 * `now` is the node's own monotonic time: a late answer sets the Redis clock back, the next one
 * forward.
 */
Amount asked_of_redis(const LedgerState& ledger, Millis now);

/**
 * Notes that Redis is asked for an amount, and that `lasts` milliseconds later no answer is awaited
 * any more. From then on, unless Redis is asked again, nothing counts as asked: a worker that was
 * killed notes no answer. It lasts for two seconds at least and for an hour at most.
 */
void note_asked(LedgerState* ledger, Amount amount, Millis now, Millis lasts);
void note_answered(LedgerState* ledger, Amount amount);

/** Counts what was let through. `now` is the Redis clock's, `interval` of ledger_limit(). */
DeltaDue count_in_ledger(LedgerState* ledger, Amount amount, Millis now, Millis interval);

/** A key's two entries. */
struct LedgerEntry {
    ZoneAccess* access;
    uint64_t tag;          // of the ledger
    uint32_t policy;       // its number
    uint32_t used_policy;  // the number under which the same key's use is counted,
    Limit limit;           // by this limit
    Millis interval;       // in milliseconds, from one report to the next
};

/** The report of a key. */
struct LedgerDelta {
    uint64_t life;
    uint64_t counted;
    uint64_t acknowledged;
    State state;  // as it is known here, the report included
};

/**
 * Reads the report for a key. If it was due, later counts go into another report. Returns false if
 * there is nothing to report.
 */
bool read_ledger(const LedgerEntry& entry, bool is_due, LedgerDelta* ledger_delta);

/**
 * Notes that Redis is asked for an amount, with an answer in at most `lasts` milliseconds, and
 * reads the report that must go before it. Returns false if there is nothing to report.
 */
bool ask_beside(const LedgerEntry& entry, Amount amount, Millis lasts, Now now,
                LedgerDelta* ledger_delta);

/**
 * Notes that a question for an amount passes nothing any more: its answer was lost, or its request
 * is gone.
 */
void end_question(const LedgerEntry& entry, Amount amount);

/**
 * Notes that the report was lost. Returns true if the caller must report again, since nobody else
 * will.
 */
bool must_send_again(const LedgerEntry& entry, Now now);

/**
 * Notes that the report has arrived. `theirs` is the usage of all nodes by then, and `reserved`
 * their reservations. From now on, the key has this state here, plus the usage that was counted
 * since the report.
 */
void acknowledge(const LedgerEntry& entry, const LedgerDelta& ledger_delta, const State& theirs,
                 Amount reserved, Now now);

/**
 * Notes the number of nodes that Redis has just reported. The first number is believed once the
 * other nodes must know of this one, too; until then this node has no share. A lower number is
 * believed only after it has stayed lower for `kNodeLease`: a Redis that has lost its data counts
 * the nodes anew.
 */
void note_nodes(const Zone& zone, uint32_t nodes, Millis now);

/** The time for which a node without heartbeats still counts as one. */
constexpr Millis kNodeLease = 5'000;

}  // namespace ai_limit
