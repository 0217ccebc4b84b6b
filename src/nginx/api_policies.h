#pragma once

#include "core/snapshot.h"
#include "nginx/config.h"

namespace ai_limit {

/** Enough for what a policy's sync= says. */
constexpr size_t kMaxSyncText = 24;

/** What requests have under way in one zone, by the policies' numbers. */
using ZoneLoads = PolicyLoad[kMaxPolicies + 1];

/** All that is to be shown of a policy, whose zone this process uses; `loads` are the zone's,
 * `sync` has kMaxSyncText bytes and outlives the snapshot. */
PolicySnapshot look_at(const PolicyConf& policy, const ZoneLoads& loads, char* sync);

/** As the API calls it. */
std::string_view name_of(Measure measure);

/** As sync= says it; `buffer` has kMaxSyncText bytes. */
std::string_view name_of(const Syncing& syncing, char* buffer);

/** Of the configuration's Redis. */
RedisSnapshot look_at_redis(const MainConf& conf);

/** The loads of each of the configuration's zones, in their order; nullptr without memory. */
ZoneLoads* read_all_loads(ngx_http_request_t* r, const MainConf& conf);

/** A zone's place among the configuration's. */
ngx_uint_t index_of(const MainConf& conf, const ZoneConf* zone);

}  // namespace ai_limit
