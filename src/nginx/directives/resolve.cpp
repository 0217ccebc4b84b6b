#include "nginx/directives/resolve.h"

#include "nginx/conf/conf_words.h"
#include "nginx/conf/live.h"
#include "nginx/conf/upstream_conf.h"
#include "nginx/directives/redis_hosts.h"
#include "nginx/directives/resolve_prices.h"
#include "nginx/directives/variable_uses.h"

namespace ai_limit {

namespace {

constexpr std::string_view kPlainHeaderVariable = "http_ai_limit_plain_header";
constexpr size_t kDefaultZoneSize = 32 * 1024 * 1024;

ngx_int_t add_default_zone(ngx_conf_t* cf, MainConf* main) {
    ZoneConf* zone = static_cast<ZoneConf*>(ngx_pcalloc(cf->pool, sizeof(ZoneConf)));
    ZoneConf** place = static_cast<ZoneConf**>(ngx_array_push(&main->zones));
    if (zone == nullptr || place == nullptr) {
        return NGX_ERROR;
    }
    ngx_str_set(&zone->name, "ai_limit");
    zone->size = kDefaultZoneSize;
    *place = zone;
    return NGX_OK;
}

ngx_int_t resolve_sync(ngx_conf_t* cf, MainConf* main, PolicyConf* policy) {
    Syncing own = policy->syncing;
    if (main->redis == nullptr && own.sync != Sync::kUnset && own.sync != Sync::kOff) {
        return mistake_at(cf, policy->position, "ai_limit_policy: no ai_limit_redis for sync= of",
                          policy->name, "");
    }
    if (own.sync == Sync::kUnset && main->redis != nullptr) {
        own = main->redis->syncing;
    }
    policy->in_redis = own.sync == Sync::kStrict || own.sync == Sync::kEvery;
    if (policy->in_redis && policy->upstream != nullptr) {
        return mistake_at(cf, policy->position,
                          "ai_limit_policy: rate=upstream needs sync=off, since nodes do not tell "
                          "each other what they learn of an account, in policy",
                          policy->name, "");
    }
    policy->syncs = policy->in_redis && !policy->has_concurrency;
    policy->by_share = policy->syncs && own.sync == Sync::kEvery;
    policy->ledger_limit = ledger_limit();
    policy->ledger_limit.period_length = own.sync == Sync::kEvery ? own.interval : kUsualInterval;
    if (policy->by_share) {
        main->redis->has_shares = true;
    }
    policy->limit.by_wall = policy->in_redis && is_wide(policy->algorithm);
    return NGX_OK;
}

/** A rate in money needs prices. One that a variable holds is looked at when it is read. */
ngx_int_t check_prices(ngx_conf_t* cf, const PolicyConf& policy) {
    const bool is_constant = policy.has_rate && policy.variable == nullptr;
    if (!is_constant || policy.limit.measure != Measure::kMoney || policy.has_prices) {
        return NGX_OK;
    }
    return mistake_at(cf, policy.position, "ai_limit_policy: no ai_limit_prices for the rate",
                      policy.limit_text, ", name a price file with it,");
}

bool waits_for_body(ngx_conf_t* cf, const PolicyConf& policy) {
    const Text* const texts[] = {&policy.key, policy.variable, policy.cost_variable, policy.sharer,
                                 policy.weight_variable};
    for (const Text* text : texts) {
        if (text != nullptr && may_depend_on_body(cf, view(text->source))) {
            return true;
        }
    }
    return false;
}

/** Allocates what workers will fill in. */
ngx_int_t allocate_live(ngx_conf_t* cf, PolicyConf* policy) {
    policy->live = allocate<LivePolicy>(cf);
    if (policy->live == nullptr) {
        return NGX_ERROR;
    }
    policy->live->memo = allocate<LimitMemo>(cf);
    if (policy->weights_variable != nullptr) {
        policy->live->weights_memo = allocate<WeightsMemo>(cf);
        if (policy->live->weights_memo == nullptr) {
            return NGX_ERROR;
        }
    }
    return policy->live->memo != nullptr ? NGX_OK : NGX_ERROR;
}

ngx_int_t resolve_zone(ngx_conf_t* cf, MainConf* main, PolicyConf* policy) {
    if (policy->zone_name.len != 0) {
        policy->zone = find_zone(main, view(policy->zone_name));
        if (policy->zone == nullptr) {
            // A colon is limit_req_zone's, which makes the zone as well.
            bool has_size = view(policy->zone_name).find(':') != std::string_view::npos;
            return mistake_at(cf, policy->position, "ai_limit_policy: unknown zone",
                              policy->zone_name,
                              has_size ? ", a size is given in ai_limit_zone zone=name:size,"
                                       : ", declare it with ai_limit_zone,");
        }
    } else if (main->zones.nelts == 1) {
        policy->zone = &Elements<ZoneConf>(main->zones)[0];
    } else {
        return mistake_at(cf, policy->position,
                          "ai_limit_policy: several zones but no zone= in policy", policy->name,
                          "");
    }
    policy->zone->policies +=
        1 + policy->may_count_tokens + policy->syncs + (policy->sharer != nullptr);
    if (policy->zone->policies > kMaxPolicies) {
        return mistake_at(cf, policy->position, "ai_limit_policy: more than 255 policies in zone",
                          policy->zone->name, ", give some another zone=,");
    }
    bool wide = is_wide(policy->algorithm);
    policy->zone->wide |= wide;
    policy->zone->small |= !wide;
    main->tokens |= policy->may_count_tokens;
    policy->zone->small |= policy->may_count_tokens;
    policy->zone->ledgers |= policy->syncs;
    policy->zone->sharers |= policy->sharer != nullptr;
    policy->zone->waits |= policy->wait != 0;
    policy->zone->upstreams |= policy->upstream != nullptr;
    main->upstreams |= policy->upstream != nullptr;
    policy->zone->flights |= policy->has_concurrency || policy->may_count_tokens;
    return allocate_live(cf, policy);
}

/** Returns the run of the set that has the policy's key, so that both share one evaluation and
 * hash. */
ngx_uint_t find_run(const PolicySet& set, const PolicyConf& policy) {
    ngx_uint_t first = 0;
    for (ngx_uint_t run = 0; run < set.run_count; ++run) {
        const PolicyConf& other = *set.policies[first];
        if (other.zone == policy.zone && view(other.key.source) == view(policy.key.source)) {
            return run;
        }
        first += set.runs[run].count;
    }
    return set.run_count;
}

void add_policy(PolicySet* set, const PolicyConf* policy) {
    ngx_uint_t key = find_run(*set, *policy);
    ngx_uint_t last = set->run_count;
    if (last > 0 && set->runs[last - 1].key == key) {
        ++set->runs[last - 1].count;
    } else {
        set->runs[set->run_count++] = {1, key};
    }
    set->policies[set->count++] = policy;
    set->dry_run |= policy->dry_run;
    set->warns |= policy->warn != 0;
    set->is_unusual = set->dry_run || set->warns;
    set->concurrency |= policy->has_concurrency;
    set->sharers |= policy->sharer != nullptr;
    set->turns |= policy->wait != 0;
    set->upstreams |= policy->upstream != nullptr;
    set->may_wait |= policy->may_count_tokens || policy->after_body || policy->in_redis;
}

/** Adds all parts of a policy with rate=upstream. The part for cooldowns comes first. */
ngx_int_t add_upstream(ngx_conf_t* cf, PolicyList* list, const PolicyConf* policy) {
    PolicySet* set = policy->preaccess ? &list->preaccess : &list->access;
    if (set->count + kUpstreamParts > kMaxSetPolicies) {
        return mistake_at(cf, list->position,
                          "ai_limit: too many policies, at most 16 fit, and one with rate=upstream "
                          "counts as 5:",
                          policy->name, "");
    }
    for (size_t part = kUpstreamParts; part-- > 0;) {
        policy->upstream->parts[part]->used = true;
        add_policy(set, policy->upstream->parts[part]);
    }
    return NGX_OK;
}

ngx_int_t resolve_list(ngx_conf_t* cf, MainConf* main, PolicyList* list) {
    for (ngx_uint_t i = 0; i < list->names.nelts; ++i) {
        ngx_str_t name = static_cast<ngx_str_t*>(list->names.elts)[i];
        PolicyConf* policy = find_policy(main, view(name));
        if (policy == nullptr) {
            // A policy may have the name, so only one that is missing is taken for limit_req's
            // word.
            return mistake_at(cf, list->position, "ai_limit: unknown policy", name,
                              view(name) == "nodelay"
                                  ? ", which is limit_req's: nothing is delayed without wait=,"
                                  : ", declare it with ai_limit_policy,");
        }
        if (policy->upstream != nullptr) {
            if (add_upstream(cf, list, policy) != NGX_OK) {
                return NGX_ERROR;
            }
            main->preaccess |= policy->preaccess;
            main->access |= !policy->preaccess;
            continue;
        }
        policy->used = true;
        PolicySet* set = policy->preaccess ? &list->preaccess : &list->access;
        if (set->count == kMaxSetPolicies) {
            return mistake_at(cf, list->position,
                              "ai_limit: too many policies, at most 16 fit, and one with "
                              "rate=upstream counts as 5:",
                              policy->name, "");
        }
        add_policy(set, policy);
        main->preaccess |= policy->preaccess;
        main->access |= !policy->preaccess;
    }
    return NGX_OK;
}

void warn_of_unused_policies(ngx_conf_t* cf, const MainConf& main) {
    for (const PolicyConf* policy : policies_of(main)) {
        const bool is_written = policy->upstream == nullptr || policy->upstream->parts[0] == policy;
        if (!policy->used && is_written) {
            warn_at(cf, policy->position, "ai_limit_policy: no ai_limit names", policy->name,
                    ", so it limits nothing,");
        }
    }
}

/** True if a policy of the list may count tokens. */
bool has_token_policies(const PolicyList& list) {
    for (const PolicySet* set : {&list.preaccess, &list.access}) {
        for (ngx_uint_t i = 0; i < set->count; ++i) {
            if (set->policies[i]->may_count_tokens) {
                return true;
            }
        }
    }
    return false;
}

/** Refuses `ai_limit_max_output remaining` if nothing is counted of which something remains. */
ngx_int_t check_max_outputs(ngx_conf_t* cf, MainConf* main) {
    MaxOutputUse* uses = static_cast<MaxOutputUse*>(main->max_outputs.elts);
    for (ngx_uint_t i = 0; i < main->max_outputs.nelts; ++i) {
        uses[i].max_output->has_policies |=
            uses[i].list != nullptr && has_token_policies(*uses[i].list);
    }
    for (ngx_uint_t i = 0; i < main->max_outputs.nelts; ++i) {
        const MaxOutputConf& conf = *uses[i].max_output;
        if (conf.number == 0 && !conf.has_policies) {
            return mistake_at(
                cf, conf.position, "ai_limit_max_output: no policy in tokens or usd for",
                ngx_string("remaining"), ", name one in ai_limit, or write a number,");
        }
    }
    return NGX_OK;
}

/** Takes the time zone of the first policy in money, or else of the first one in tokens. */
void set_day_zone(MainConf* main) {
    const PolicyConf* first = nullptr;
    for (const PolicyConf* policy : policies_of(*main)) {
        const bool is_money = policy->limit.measure == Measure::kMoney;
        if (is_money || (first == nullptr && policy->may_count_tokens)) {
            first = policy;
        }
        if (is_money) {
            break;
        }
    }
    if (first != nullptr) {
        main->day_zone = first->time_zone;
        main->day_zone_text = first->time_zone_text;
    }
}

}  // namespace

ngx_int_t resolve_names(ngx_conf_t* cf) {
    MainConf* main = main_conf(cf);
    ngx_str_t plain_header = to_ngx(kPlainHeaderVariable);
    main->plain_header_variable = ngx_http_get_variable_index(cf, &plain_header);
    if (main->plain_header_variable == NGX_ERROR) {
        return NGX_ERROR;
    }
    if (main->zones.nelts == 0 && main->policies.nelts != 0 &&
        add_default_zone(cf, main) != NGX_OK) {
        return NGX_ERROR;
    }
    if (main->redis != nullptr && resolve_redis_hosts(cf, main) != NGX_OK) {
        return NGX_ERROR;
    }
    if (resolve_prices(cf, *main) != NGX_OK) {
        return NGX_ERROR;
    }
    main->body_variables = uses_body_variables(cf);
    main->usage_variables = uses_usage_variables(cf);
    main->cost_variable = main->prices != nullptr && uses_cost_variable(cf);
    main->tokens |= main->usage_variables;
    for (PolicyConf* policy : Elements<PolicyConf>(main->policies)) {
        policy->after_body = main->body_variables && waits_for_body(cf, *policy);
        policy->has_prices = main->prices != nullptr;
        if (check_prices(cf, *policy) != NGX_OK || resolve_sync(cf, main, policy) != NGX_OK ||
            resolve_zone(cf, main, policy) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    for (PolicyList* list : Elements<PolicyList>(main->lists)) {
        if (resolve_list(cf, main, list) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    set_day_zone(main);
    warn_of_unused_policies(cf, *main);
    return check_max_outputs(cf, main);
}

ngx_int_t ngx_http_ai_limit_init_module(ngx_cycle_t* cycle) {
    if (cycle->conf_ctx[ngx_http_module.index] == nullptr) {
        return NGX_OK;
    }
    MainConf* main = static_cast<MainConf*>(
        ngx_http_cycle_get_module_main_conf(cycle, ngx_http_ai_limit_module));
    const PlainHeaders plain = plain_headers(cycle, main->plain_header_variable);
    for (PolicyConf* policy : Elements<PolicyConf>(main->policies)) {
        for (Text* text :
             {&policy->key, policy->variable, policy->cost_variable, policy->weights_variable,
              policy->reserve_variable, policy->sharer, policy->weight_variable, policy->label}) {
            if (text != nullptr) {
                find_headers(plain, text);
            }
        }
    }
    return NGX_OK;
}

}  // namespace ai_limit
