#include "nginx/api/api_policies.h"

#include "clock.h"
#include "nginx/conf/live.h"
#include "nginx/conf/live_redis.h"

namespace ai_limit {

namespace {

Syncing syncing_of(const PolicyConf& policy) {
    return {!policy.in_redis   ? Sync::kOff
            : !policy.by_share ? Sync::kStrict
                               : Sync::kEvery,
            policy.ledger_limit.period_length};
}

/** Sets what else the directive says about the limit, with its presets. */
void add_details(const PolicyConf& policy, PolicySnapshot* seen) {
    if (policy.may_count_tokens && seen->measure != Measure::kMoney) {
        seen->count = policy.count_text.len != 0 ? view(policy.count_text) : "total";
    }
    seen->burst = view(policy.burst_text);
    seen->wait = view(policy.wait_text);
    if (is_calendar(policy.algorithm)) {
        seen->tz = policy.time_zone_text.len != 0 ? view(policy.time_zone_text) : "+00:00";
    }
    if (policy.sharer != nullptr) {
        seen->share = view(policy.sharer->source);
        seen->weight = policy.weight_text.len != 0 ? view(policy.weight_text) : "1";
    }
}

}  // namespace

std::string_view name_of(const Syncing& syncing, char* buffer) {
    if (syncing.sync != Sync::kEvery) {
        return syncing.sync == Sync::kStrict ? "strict" : "off";
    }
    TextWriter text(buffer, kMaxSyncText);
    text.number(static_cast<uint64_t>(syncing.interval));
    text.text("ms");
    return text.view();
}

RedisSnapshot look_at_redis(const MainConf& conf) {
    const ZoneConf* first = &zones_of(conf)[0];
    RedisSnapshot seen = look_at_redis(Zone(first->live->memory));
    seen.is_up = conf.redis->live->router.are_all_there();
    return seen;
}

PolicySnapshot look_at(const PolicyConf& policy, const ZoneLoads& loads, char* sync) {
    const Zone& zone = policy.zone->live->access.journal.zone();
    PolicySnapshot seen{};
    seen.name = view(policy.name);
    seen.zone = view(policy.zone->name);
    seen.key = view(policy.key.source);
    seen.phase = policy.preaccess ? "preaccess" : "access";
    seen.algorithm = name_of_algorithm(policy.algorithm);
    seen.sync = name_of(syncing_of(policy), sync);
    seen.limit = view(policy.limit_text);
    // If a variable holds the limit, this is its last measure.
    seen.measure = zone.policy(policy.live->ask.policy)->slowest.measure;
    add_details(policy, &seen);
    seen.overrun = policy.overrun == Overrun::kCut ? "cut" : "debt";
    seen.warn = policy.warn;
    seen.dry_run = policy.dry_run;
    seen.counts_tokens = policy.may_count_tokens;
    seen.counts_in_flight = policy.has_concurrency;
    seen.totals = read_totals(zone, seen.name, seen.measure);
    seen.day = day_of(now_by_nginx().wall, policy.time_zone);
    seen.charged_today = charged_on(zone, seen.name, seen.measure, seen.day);
    seen.load = loads[policy.live->ask.policy];
    seen.number = policy.live->ask.policy;
    seen.one_key = policy.key.value.lengths == nullptr && seen.key.size() <= kMaxShownName;
    return seen;
}

ZoneLoads* read_all_loads(ngx_http_request_t* r, const MainConf& conf) {
    ZoneLoads* loads = static_cast<ZoneLoads*>(
        ngx_pcalloc(r->pool, ngx_max(conf.zones.nelts, ngx_uint_t{1}) * sizeof(ZoneLoads)));
    for (ngx_uint_t i = 0; loads != nullptr && i < conf.zones.nelts; ++i) {
        const Journal* journal = &zones_of(conf)[i].live->access.journal;
        if (journal->is_open()) {
            read_loads(journal->zone(), loads[i]);
        }
    }
    return loads;
}

bool read_models(ngx_http_request_t* r, const MainConf& conf, ModelsSnapshot* models) {
    *models = {};
    models->tz = conf.day_zone_text.len != 0 ? view(conf.day_zone_text) : "+00:00";
    models->has_prices = conf.prices != nullptr;
    ModelViews* views = &models->views;
    views->models = static_cast<ModelView*>(ngx_palloc(
        r->pool, ngx_max(conf.zones.nelts, ngx_uint_t{1}) * kModelRows * sizeof(ModelView)));
    if (views->models == nullptr) {
        return false;
    }
    const DayNumber day = day_of(now_by_nginx().wall, conf.day_zone);
    for (const ZoneConf* zone : zones_of(conf)) {
        const Journal& journal = zone->live->access.journal;
        if (journal.is_open()) {
            add_models(journal.zone(), day, views);
        }
    }
    rank_models(views);
    return true;
}

KeyQuestion question_of(const PolicyConf& policy, uint64_t hash, const Limit* limit) {
    KeyQuestion question{};
    question.access = &policy.zone->live->access;
    question.hash = hash;
    question.limit = limit;
    question.use = policy.live->ask.policy;
    question.reservation = policy.may_count_tokens ? policy.live->reservation.policy : 0;
    question.ledger = policy.syncs ? policy.live->ledger.policy : 0;
    question.in_redis = policy.in_redis;
    return question;
}

ngx_uint_t index_of(const MainConf& conf, const ZoneConf* zone) {
    ngx_uint_t i = 0;
    while (&zones_of(conf)[i] != zone) {
        ++i;
    }
    return i;
}

}  // namespace ai_limit
