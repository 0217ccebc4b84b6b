// /status: all there is to see, as JSON.

#include "clock.h"
#include "core/observe/status_json.h"
#include "core/policies/overrides.h"
#include "core/words/version.h"
#include "nginx/api/api_accounts.h"
#include "nginx/api/api_near.h"
#include "nginx/api/api_output.h"
#include "nginx/api/api_policies.h"
#include "nginx/api/api_resources.h"
#include "nginx/api/api_turns.h"
#include "nginx/conf/live.h"
#include "nginx/values/policy_values.h"
#include "nginx/worker/zone_setup.h"

namespace ai_limit {

namespace {

constexpr size_t kMaxHeadJson = 512;
constexpr size_t kMaxOverrideJson = 1024;

bool is_in_use(const ZoneConf& zone) {
    return zone.live->access.journal.is_open();
}

/** Writes one element of an array. */
template <typename Write>
void add_element(ApiOutput* output, size_t most, bool* is_first, const Write& write) {
    TextWriter out = output->begin(most);
    out.text(*is_first ? "" : ",");
    *is_first = false;
    JsonWriter json(out);
    write(json);
    output->end(out);
}

void add_text(ApiOutput* output, std::string_view text) {
    TextWriter out = output->begin(text.size());
    out.text(text);
    output->end(out);
}

void add_head(ngx_http_request_t* r, ApiOutput* output) {
    TextWriter out = output->begin(kMaxHeadJson);
    out.text("{");
    JsonWriter json(out);
    json.text("version", kVersion);
    json.text("nginx", NGINX_VERSION);
    json.truth("write", loc_conf(r)->api_writes);
    json.text("time", view({ngx_cached_http_log_iso8601.len, ngx_cached_http_log_iso8601.data}));
    output->end(out);
}

void add_zones(const MainConf& conf, ApiOutput* output) {
    add_text(output, ",\"zones\":[");
    bool is_first = true;
    for (const ZoneConf* zone : zones_of(conf)) {
        if (!is_in_use(*zone)) {
            continue;
        }
        sample_zone(*zone);  // a single process has no timers for it
        ZoneSnapshot seen = look_at(zone->live->access.journal.zone());
        seen.name = view(zone->name);
        seen.bytes = zone->size;
        seen.has_state = zone->state_path.len != 0;
        add_element(output, kMaxZoneJson + 6 * zone->name.len, &is_first,
                    [&](JsonWriter& json) { write_zone_json(seen, json); });
    }
    add_text(output, "]");
}

bool add_policies(ngx_http_request_t* r, const MainConf& conf, const ZoneLoads* loads,
                  ApiOutput* output) {
    add_text(output, ",\"policies\":[");
    bool is_first = true;
    for (const PolicyConf* policy : policies_of(conf)) {
        if (!policy->live->usable) {
            continue;
        }
        char sync[kMaxSyncText];
        PolicySnapshot seen = look_at(*policy, loads[index_of(conf, policy->zone)], sync);
        if (!add_turns(r, *policy, &seen) || !add_near_keys(r, *policy, &seen)) {
            return false;
        }
        size_t texts = seen.zone.size() + seen.key.size() + seen.limit.size() + seen.count.size() +
                       seen.burst.size() + seen.wait.size() + seen.tz.size() + seen.share.size() +
                       seen.weight.size();
        const size_t most = kMaxPolicyJson + (seen.waiting != nullptr ? kMaxWaitsJson : 0) +
                            (seen.sharers != nullptr ? kMaxSharersJson : 0) + 6 * texts;
        add_element(output, most, &is_first, [&](JsonWriter& json) {
            write_policy_json(policy->zone->live->access.journal.zone(), seen,
                              now_by_nginx().monotonic, json);
        });
    }
    add_text(output, "]");
    return true;
}

/** The policy's name in the configuration; nullptr if it has gone. */
const PolicyConf* policy_of(const MainConf& conf, const ZoneConf& zone, uint32_t number) {
    for (const PolicyConf* policy : policies_of(conf)) {
        if (policy->zone == &zone && policy->live->ask.policy == number) {
            return policy;
        }
    }
    return nullptr;
}

void add_override(const MainConf& conf, const ZoneConf& zone, uint32_t place, bool* is_first,
                  ApiOutput* output) {
    OverrideView seen;
    if (!read_override(zone.live->access.journal.zone(), place, now_by_nginx().monotonic, &seen)) {
        return;
    }
    const PolicyConf* policy = policy_of(conf, zone, seen.policy);
    if (policy == nullptr || !can_have(*policy, seen.limit.measure)) {
        return;
    }
    add_element(output, kMaxOverrideJson, is_first, [&](JsonWriter& json) {
        json.open('{');
        json.text("policy", view(policy->name));
        json.text("key", seen.shown_key());
        json.text("rate", seen.rate_text());
        json.number("expires_in", seconds_rounded_up(seen.expires_in));
        json.close('}');
    });
}

void add_overrides(const MainConf& conf, ApiOutput* output) {
    add_text(output, ",\"overrides\":[");
    bool is_first = true;
    for (const ZoneConf* zone : zones_of(conf)) {
        for (uint32_t place = 0; is_in_use(*zone) && place < kMaxOverrides; ++place) {
            add_override(conf, *zone, place, &is_first, output);
        }
    }
    add_text(output, "]");
}

void add_models(const ModelsSnapshot& models, ApiOutput* output) {
    const ModelViews& views = models.views;
    add_text(output, ",\"models\":{\"tz\":\"");
    add_text(output, models.tz);
    add_text(output, "\",\"list\":[");
    bool is_first = true;
    const auto add = [&](const ModelView& model) {
        add_element(output, kMaxModelJson, &is_first,
                    [&](JsonWriter& json) { write_model_json(model, models.has_prices, json); });
    };
    for (size_t i = 0; i < views.count; ++i) {
        add(views.models[i]);
    }
    if (views.others.total.answers != 0) {
        add(views.others);
    }
    add_text(output, "]}");
}

void add_redis(const MainConf& conf, ApiOutput* output) {
    static constexpr std::string_view kOnFailure[] = {"local", "allow", "reject"};
    if (conf.redis == nullptr || conf.zones.nelts == 0) {
        add_text(output, ",\"redis\":null}\n");
        return;
    }
    add_text(output, ",\"redis\":");
    bool is_first = true;
    add_element(output, kMaxRedisJson, &is_first, [&](JsonWriter& json) {
        char sync[kMaxSyncText];
        write_redis_json(look_at_redis(conf), name_of(conf.redis->syncing, sync),
                         kOnFailure[static_cast<size_t>(conf.redis->on_failure)], json);
    });
    add_text(output, "}\n");
}

}  // namespace

ngx_int_t send_status(ngx_http_request_t* r) {
    const MainConf& conf = *main_conf(r);
    ZoneLoads* loads = read_all_loads(r, conf);
    ModelsSnapshot models;
    if (loads == nullptr || !read_models(r, conf, &models)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ApiOutput output(r);
    add_head(r, &output);
    add_zones(conf, &output);
    if (!add_policies(r, conf, loads, &output)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    add_models(models, &output);
    add_overrides(conf, &output);
    add_accounts(conf, &output);
    add_redis(conf, &output);
    return output.send(NGX_HTTP_OK, kJsonType);
}

}  // namespace ai_limit
