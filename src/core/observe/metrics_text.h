#pragma once

// The Prometheus text format, version 0.0.4: families one after the other, each with HELP and TYPE.

#include "core/observe/snapshot.h"
#include "core/words/text_writer.h"

namespace ai_limit {

/** A label's value needs at most so much room for one of its bytes. */
constexpr size_t kMaxSample = 512;  // a line, with the longest names of policies and zones

struct Metric {
    std::string_view name, type, help;
};

void write_family(const Metric& metric, TextWriter& out);

/** `name{label="value",label="value"} number`; a label without a name is left out. */
struct Label {
    std::string_view name, value;
};
void write_sample(std::string_view metric, Label first, Label second, uint64_t value,
                  TextWriter& out);

/** A metric that every policy has, or some have. */
struct PolicyMetric {
    Metric metric;
    bool (*has)(const PolicySnapshot& policy);
    void (*write)(std::string_view metric, const PolicySnapshot& policy, TextWriter& out);
};
extern const PolicyMetric kPolicyMetrics[];
extern const size_t kPolicyMetricCount;
constexpr size_t kMaxPolicySamples = 8 * kMaxSample;  // of one metric and one policy

struct ZoneMetric {
    Metric metric;
    void (*write)(std::string_view metric, const ZoneSnapshot& zone, TextWriter& out);
};
extern const ZoneMetric kZoneMetrics[];
extern const size_t kZoneMetricCount;
constexpr size_t kMaxZoneSamples = 2 * kMaxSample;

/** A metric of each model. */
struct ModelMetric {
    Metric metric;
    bool needs_prices;
    void (*write)(std::string_view metric, const ModelView& model, TextWriter& out);
};
extern const ModelMetric kModelMetrics[];
extern const size_t kModelMetricCount;
constexpr size_t kMaxModelSamples = 3 * kMaxSample;

/** All metrics of Redis. */
void write_redis_metrics(const RedisSnapshot& redis, TextWriter& out);
constexpr size_t kMaxRedisMetrics = 8192;

}  // namespace ai_limit
