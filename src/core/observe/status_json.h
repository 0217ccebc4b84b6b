#pragma once

// The parts of /status, each a JSON value. Sizes are what a part needs at most, in bytes.

#include "core/json/json_writer.h"
#include "core/observe/snapshot.h"

namespace ai_limit {

constexpr size_t kMaxZoneJson = 2048;
constexpr size_t kMaxPolicyJson = 64 * 1024;
constexpr size_t kMaxWaitsJson = 16 * 1024;    // more, of a policy with wait=
constexpr size_t kMaxSharersJson = 40 * 1024;  // more, of one with share=

void write_zone_json(const ZoneSnapshot& zone, JsonWriter& json);

/** With its last minutes and the keys that stand out, read from the zone at `monotonic`. */
void write_policy_json(const Zone& zone, const PolicySnapshot& policy, Millis monotonic,
                       JsonWriter& json);

/** One model. `has_prices`: it has a cost. */
void write_model_json(const ModelView& model, bool has_prices, JsonWriter& json);
constexpr size_t kMaxModelJson = 1024;

/** `sync` and `on_failure` as the directive says. */
void write_redis_json(const RedisSnapshot& redis, std::string_view sync,
                      std::string_view on_failure, JsonWriter& json);
constexpr size_t kMaxRedisJson = 512;

}  // namespace ai_limit
