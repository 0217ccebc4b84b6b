#pragma once

// Queues that several nodes have for one key, where Redis decides on each request (`wait=`). Redis
// knows of each node which of its requests is next, for a second after the node has asked about it,
// and lets a request pass only if no other node's goes before it. A node asks again when a turn may
// have come.

#include "nginx/turns/waiting_keys.h"

namespace ai_limit {

/** A key's queue as Redis has it. */
struct KeyInRedis;

/** True if requests of all nodes wait for a charge's key together. */
bool waits_over_nodes(const Decision& one, ngx_uint_t charge);

/** Fills in the turns of `one->in_redis`: who waits on this node for the keys of the decision.
 * `waiter`: the request's, whose turn it is; nullptr if it has just come. */
void describe_turns(const LiveRedis& redis, const Waiter* waiter, Decision* one);

/** Returns in how many milliseconds Redis should be asked again about a request that it has just
 * refused. `wait`: until its turn, as far as this node knows. `more`: so much later, within bounds,
 * where this worker asks about many keys. */
Millis until_next_question(const Waiter& waiter, Millis wait, Millis more);

/** Notes that Redis knows this node to have a waiter for a charge's key. Returns `before`, or what
 * it makes if that is nullptr; nullptr without memory. Free it by ngx_free(). */
KeyInRedis* note_in_redis(ngx_http_request_t* r, const Decision& one, ngx_uint_t charge,
                          KeyInRedis* before);

/** Tells Redis that a request that has just come, and was asked about, does not wait but in the
 * queue `joined` if it has joined one, else `one.count`. */
void leave_in_redis(ngx_http_request_t* r, const Decision& one, ngx_uint_t joined);

/** Tells Redis that nobody waits on this node any more, if that is so. `queue`: of this node. */
void leave_in_redis(const KeyInRedis* key, const KeyQueue& queue);

}  // namespace ai_limit
