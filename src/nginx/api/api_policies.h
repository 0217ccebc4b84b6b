#pragma once

#include "core/keys/key_entry.h"
#include "core/observe/snapshot.h"
#include "nginx/conf/config.h"

namespace ai_limit {

/** Enough for what a policy's sync= says. */
constexpr size_t kMaxSyncText = 24;

/** The load of requests under way in one zone, by the policies' numbers. */
using ZoneLoads = PolicyLoad[kMaxPolicies + 1];

/** Reads all values of a policy that the API shows. This process must use the policy's zone.
 * `loads` are the zone's; `sync` has kMaxSyncText bytes and outlives the snapshot. */
PolicySnapshot look_at(const PolicyConf& policy, const ZoneLoads& loads, char* sync);

/** Returns the text as in sync=; `buffer` has kMaxSyncText bytes. */
std::string_view name_of(const Syncing& syncing, char* buffer);

/** Reads the state of the configuration's Redis. */
RedisSnapshot look_at_redis(const MainConf& conf);

/**
 * Returns the loads of each of the configuration's zones, in their order; nullptr without memory.
 */
ZoneLoads* read_all_loads(ngx_http_request_t* r, const MainConf& conf);

/** Reads the models of all zones that this process uses. False without memory. */
bool read_models(ngx_http_request_t* r, const MainConf& conf, ModelsSnapshot* models);

/** Returns a zone's index among the configuration's zones. */
ngx_uint_t index_of(const MainConf& conf, const ZoneConf* zone);

/** The question about a key with this hash, by hash_key(), under the limit that it has. `limit`:
 * nullptr if a variable holds it. */
KeyQuestion question_of(const PolicyConf& policy, uint64_t hash, const Limit* limit);

}  // namespace ai_limit
