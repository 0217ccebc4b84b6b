#pragma once

// What this node lets through by itself is told to Redis, by the worker that first has news of a
// key: every so often, and at once where the node's share of the key is going (core/ledger.h).

#include "nginx/redis_conf.h"
#include "nginx/request_context.h"

namespace ai_limit {

/** For a worker that starts, or ends. */
void start_telling(RedisConf* redis, const ngx_array_t& zones);
void stop_telling(RedisConf* redis);

/** After a decision or a settlement: sees to it that the news of its ledgers are told. */
void see_to_news(RedisConf* redis, Evaluation* one);

/**
 * Tells now what there is to tell of a charge's key, which is `key` in Redis: before Redis decides
 * on it.
 */
void tell_before(RedisConf* redis, Charge* charge, std::string_view key);

}  // namespace ai_limit
