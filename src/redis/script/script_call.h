#pragma once

// The calls of the script that decides in Redis (script.h), as commands, and what it answers.

#include "core/decide/admission.h"
#include "redis/protocol/command.h"
#include "redis/protocol/reply.h"
#include "redis/script/key_names.h"

namespace ai_limit {

/** Names what a request has in flight, for ever: the worker that it came to, and its number there.
 */
struct MemberId {
    uint64_t worker;  // drawn at random when the worker began
    uint64_t number;
};

/** The sharer that a charge's request is of, as Redis decides on its part. */
struct RedisSharer {
    std::string_view key;  // of Redis (write_sharer_key())
    uint32_t weight;       // 1 to kMaxSharerWeight
    MemberId member;       // of what is in flight: the charge's
    uint64_t floor;        // its service starts there at the earliest; 0: at `served`

    // Redis's answer:
    SharerPart part;
    uint64_t start;   // of its service
    uint64_t served;  // the virtual time of the key before it (core/sharers/service.h)
};

/** A charge of a policy for which requests wait for their turn, over all nodes. */
struct RedisTurn {
    uint64_t node;   // names this node for ever
    Millis arrival;  // of the request, by Redis's clock; 0: it comes now
    uint32_t count;  // of all requests that wait at this node for the key, this one included if it
                     // waits
    Amount cost;     // of the same requests
    bool waits;      // the request stays in the queue if this policy refuses it

    // Redis's answer:
    bool is_behind;   // a request of another node goes before this one
    uint32_t others;  // requests that wait at other nodes,
    Amount others_cost;
};

/** A policy's part in a request, as Redis decides on it. */
struct RedisCharge {
    PolicyCharge* charge;
    std::string_view key;  // of Redis
    MemberId member;

    // Redis's answer:
    State state;
    Amount reserved;  // of tokens, for all requests under way

    // Of a policy with them, else nullptr. The caller owns both.
    RedisSharer* sharer = nullptr;
    RedisTurn* turn = nullptr;
};

/** A member in flight in Redis for a request, until it is settled. */
struct RedisFlight {
    std::string_view key;
    MemberId member;
    Amount reserved;
    Limit limit;
    // Redis has been asked to reserve so much more, and has not answered: the member is there with
    // this or without; 0 for nothing.
    Amount growth;
};

/** How long Redis keeps a member in flight without a renewal. */
constexpr Millis kLease = 15'000;

/**
 * Asks for a decision on all charges as one. Their states say what is known here, for a Redis that
 * has lost its data: nothing if nothing is used. If a charge has a sharer or a turn, the command is
 * one of fair_script().
 */
void write_take(const RedisCharge* charges, size_t n, Now now, Command* command);

/**
 * Reads what was decided into the charges. Returns false and changes nothing if that is no answer
 * to write_take().
 */
bool read_take(const Reply& reply, RedisCharge* charges, size_t n, bool* passes, Millis* redis_now);

/** Ends what is in flight: so many tokens were used, none for requests in flight. `known` is the
 * key's state with them in the zone that counts it here, for a Redis that has lost its data. */
void write_settle(const RedisFlight& flight, Amount tokens, const State& known, const Zone& zone,
                  Now now, Command* command);

/** Takes back a charge that is not in flight. */
void write_give_back(const RedisCharge& charge, Now now, Command* command);

/** The part of a sharer in a request that passed, until the request has ended. */
struct RedisSharerFlight {
    std::string_view key;  // of Redis: the sharer's
    MemberId member;       // of a limit that has something in flight
    Limit limit;           // of the key that the sharer shares
    bool is_own;           // SharerPart::is_own of the decision
    Amount charged;        // by the decision
    Amount grown = 0;      // since
    // Redis has been asked for so much more, and has not answered (RedisFlight::growth).
    Amount growth = 0;
};

/**
 * Corrects a sharer's part and its service by what a request has used, in the limit's unit, and
 * takes what it has in flight out of the sharer's. Asking again does no harm if the limit has
 * something in flight. For one that counts requests, it gives a charge back: `used` is 0.
 */
void write_end_sharer(const RedisSharerFlight& flight, Amount used, const Zone& zone, Now now,
                      Command* command);

/** Says that what a sharer has in flight still is. */
void write_renew_sharer(std::string_view sharer_key, const MemberId& member, Command* command);

/** Says that no request waits any more at a node for the key of a charge. */
void write_leave(std::string_view key, uint64_t node, Command* command);

/** A key that an operator asks for. */
struct RedisKey {
    const Limit* limit;
    const Zone* zone;
    uint32_t policy;       // its number
    std::string_view key;  // of Redis
    State known;           // what is known of it here, for a Redis that has lost its data
};

/** Asks what all nodes count for a key; `forgets` also makes that nothing. */
void write_look(const RedisKey& asked, bool forgets, Now now, Command* command);

/** Redis's answer about a key; if the call forgets it, as it was before. */
struct RedisLook {
    bool is_used;
    Amount reserved;
    State state;
    Millis redis_now;
};

/** False if that is no answer to write_look(). */
bool read_look(const Reply& reply, const RedisKey& asked, RedisLook* look);

/** Asks Redis to reserve `flight.growth` more for a member, as much as its sharer may have if it
 * has one. Asking again does no harm. The caller notes in the sharer's flight what it asks for and
 * what has grown. */
void write_grow(const RedisFlight& flight, const Zone& zone, Now now, Command* command,
                const RedisSharerFlight* sharer = nullptr);

/** Redis's answer about the growth of a member. */
struct RedisGrowth {
    bool is_known;  // the member is in flight
    bool grows;
    Amount left;  // of the limit now, for this member, beside what is used and reserved
    Millis redis_now;
};

/** False if that is no answer to write_grow(). `policy` is the policy's number in the zone. */
bool read_grow(const Reply& reply, const RedisFlight& flight, const Zone& zone, uint32_t policy,
               RedisGrowth* growth, bool has_sharer = false);

/** Says that it is still in flight. */
void write_renew(const RedisFlight& flight, Command* command);

/** This node's report on a key, and Redis's answer. */
struct RedisDelta {
    const LedgerEntry* entry;
    const LedgerDelta* ledger_delta;
    std::string_view key;

    // Redis's answer:
    State state;
    Amount reserved;  // of tokens, for all requests under way
};

/** The most keys that one call reports. */
constexpr size_t kMaxDeltas = 16;

/** Reports what this node has let through; on a cluster, all keys are of one slot. `node` names
 * this node for ever. */
void write_sync(uint64_t node, const RedisDelta* deltas, size_t n, Now now, Command* command);

/** Reads the answer to that. Returns false and changes nothing if it is no answer to it. */
bool read_sync(const Reply& reply, RedisDelta* deltas, size_t n, Millis* redis_now);

/** Announces that a node is there; all nodes do so at `key`. */
void write_heartbeat(std::string_view key, uint64_t node, Command* command);

/** Reads how many there are. False if that is no answer to write_heartbeat(). */
bool read_heartbeat(const Reply& reply, uint32_t* nodes, Millis* redis_now);

}  // namespace ai_limit
