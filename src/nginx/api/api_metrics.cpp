// /metrics: what Prometheus scrapes.

#include "core/observe/metrics_text.h"
#include "core/words/version.h"
#include "nginx/api/api_accounts.h"
#include "nginx/api/api_output.h"
#include "nginx/api/api_policies.h"
#include "nginx/api/api_resources.h"
#include "nginx/conf/live.h"

namespace ai_limit {

namespace {

constexpr std::string_view kPrometheusType = "text/plain; version=0.0.4; charset=utf-8";

void add_family(const Metric& metric, ApiOutput* output) {
    TextWriter out = output->begin(kMaxSample);
    write_family(metric, out);
    output->end(out);
}

/** The values of all policies and zones for one answer, each read once. */
struct Snapshots {
    PolicySnapshot* policies;
    ngx_uint_t policy_count;
    ZoneSnapshot* zones;
    ngx_uint_t zone_count;
    ModelsSnapshot models;
};

bool read_policies(ngx_http_request_t* r, const MainConf& conf, Snapshots* all) {
    ZoneLoads* loads = read_all_loads(r, conf);
    all->policies = static_cast<PolicySnapshot*>(
        ngx_palloc(r->pool, (conf.policies.nelts + 1) * sizeof(PolicySnapshot)));
    if (loads == nullptr || all->policies == nullptr) {
        return false;
    }
    for (const PolicyConf* policy : policies_of(conf)) {
        if (policy->live->usable) {
            char sync[kMaxSyncText];
            all->policies[all->policy_count++] =
                look_at(*policy, loads[index_of(conf, policy->zone)], sync);
        }
    }
    return true;
}

bool read_zones(ngx_http_request_t* r, const MainConf& conf, Snapshots* all) {
    all->zones = static_cast<ZoneSnapshot*>(
        ngx_palloc(r->pool, (conf.zones.nelts + 1) * sizeof(ZoneSnapshot)));
    if (all->zones == nullptr) {
        return false;
    }
    for (const ZoneConf* zone : zones_of(conf)) {
        if (zone->live->access.journal.is_open()) {
            ZoneSnapshot* seen = &all->zones[all->zone_count++];
            *seen = look_at(zone->live->access.journal.zone());
            seen->name = view(zone->name);
            seen->has_state = zone->state_path.len != 0;
        }
    }
    return true;
}

void add_policy_metric(const PolicyMetric& one, const Snapshots& all, ApiOutput* output) {
    add_family(one.metric, output);
    for (ngx_uint_t i = 0; i < all.policy_count; ++i) {
        if (one.has(all.policies[i])) {
            TextWriter out = output->begin(kMaxPolicySamples);
            one.write(one.metric.name, all.policies[i], out);
            output->end(out);
        }
    }
}

void add_zone_metric(const ZoneMetric& one, const Snapshots& all, ApiOutput* output) {
    add_family(one.metric, output);
    for (ngx_uint_t i = 0; i < all.zone_count; ++i) {
        TextWriter out = output->begin(kMaxZoneSamples + 4 * all.zones[i].name.size());
        one.write(one.metric.name, all.zones[i], out);
        output->end(out);
    }
}

void add_model_metric(const ModelMetric& one, const ModelsSnapshot& models, ApiOutput* output) {
    if (one.needs_prices && !models.has_prices) {
        return;
    }
    add_family(one.metric, output);
    const auto add = [&](const ModelView& model) {
        TextWriter out = output->begin(kMaxModelSamples);
        one.write(one.metric.name, model, out);
        output->end(out);
    };
    for (size_t i = 0; i < models.views.count; ++i) {
        add(models.views.models[i]);
    }
    if (models.views.others.total.answers != 0) {
        add(models.views.others);
    }
}

void add_errors(const Snapshots& all, ApiOutput* output) {
    static constexpr Metric kErrors = {
        "ai_limit_errors_total", "counter",
        "Mistakes: malformed variables of policies, keys for which a zone had no room, answers of "
        "models that have no price."};
    uint64_t zone_full = 0;
    uint64_t unknown_prices = 0;
    for (ngx_uint_t i = 0; i < all.zone_count; ++i) {
        zone_full += all.zones[i].zone_full;
        unknown_prices += all.zones[i].unknown_prices;
    }
    add_family(kErrors, output);
    for (ngx_uint_t i = 0; i < all.policy_count; ++i) {
        const PolicySnapshot& policy = all.policies[i];
        TextWriter out = output->begin(kMaxSample);
        write_sample(kErrors.name, {"reason", "malformed_variable"}, {"policy", policy.name},
                     policy.totals.errors, out);
        output->end(out);
    }
    TextWriter out = output->begin(kMaxZoneSamples);
    write_sample(kErrors.name, {"reason", "zone_full"}, {}, zone_full, out);
    write_sample(kErrors.name, {"reason", "unknown_price"}, {}, unknown_prices, out);
    output->end(out);
}

void add_build_info(ApiOutput* output) {
    static constexpr Metric kBuildInfo = {"ai_limit_build_info", "gauge",
                                          "Always 1: the versions of the module and of nginx."};
    add_family(kBuildInfo, output);
    TextWriter out = output->begin(kMaxSample);
    write_sample(kBuildInfo.name, {"version", kVersion}, {"nginx", NGINX_VERSION}, 1, out);
    output->end(out);
}

}  // namespace

ngx_int_t send_metrics(ngx_http_request_t* r) {
    const MainConf& conf = *main_conf(r);
    Snapshots all{};
    if (!read_policies(r, conf, &all) || !read_zones(r, conf, &all) ||
        !read_models(r, conf, &all.models)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ApiOutput output(r);
    add_build_info(&output);
    for (size_t i = 0; i < kPolicyMetricCount; ++i) {
        add_policy_metric(kPolicyMetrics[i], all, &output);
    }
    for (size_t i = 0; i < kZoneMetricCount; ++i) {
        add_zone_metric(kZoneMetrics[i], all, &output);
    }
    for (size_t i = 0; i < kModelMetricCount; ++i) {
        add_model_metric(kModelMetrics[i], all.models, &output);
    }
    add_account_metrics(conf, &output);
    add_errors(all, &output);
    if (conf.redis != nullptr && conf.zones.nelts != 0) {
        TextWriter out = output.begin(kMaxRedisMetrics);
        write_redis_metrics(look_at_redis(conf), out);
        output.end(out);
    }
    return output.send(NGX_HTTP_OK, kPrometheusType);
}

}  // namespace ai_limit
