#pragma once

// Reports to Redis what this node lets through by itself. The worker that first has a delta of a
// key reports it: every so often, and at once if the node's share of the key is going
// (core/decide/ledger.h).

#include "nginx/conf/live_redis.h"
#include "nginx/decision/decision.h"

namespace ai_limit {

/** Start and stop the reports in a worker that starts or ends. */
void start_sync(LiveRedis* redis);
void stop_sync(LiveRedis* redis);

/** Makes sure, after a decision or a settlement, that the deltas of its ledgers are reported. */
void schedule_deltas(LiveRedis* redis, Decision* one);

/** Reports at once the deltas of a charge's key, which is `key` in Redis, before Redis decides on
 * it. */
void sync_before(LiveRedis* redis, const PolicyCharge& charge, std::string_view key);

/** Notes that Redis passes nothing for a charge that it was asked about after sync_before(). */
void end_question(const PolicyCharge& charge);

}  // namespace ai_limit
