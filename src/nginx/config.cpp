#include "nginx/config.h"

#include "nginx/api.h"
#include "nginx/conf_words.h"
#include "nginx/redis_hosts.h"
#include "nginx/variable_uses.h"
#include "nginx/zone_setup.h"

namespace ai_limit {

namespace {

constexpr std::string_view kHeaderPrefix = "http_";
constexpr std::string_view kPlainHeaderVariable = "http_ai_limit_plain_header";
constexpr size_t kDefaultZoneSize = 32 * 1024 * 1024;

/** Returns the name if the text is one variable and nothing else; empty if not. Captures ($1) do
 * not count. */
std::string_view lone_variable(std::string_view text) {
    if (text.size() < 2 || text[0] != '$') {
        return {};
    }
    text.remove_prefix(1);
    if (text.size() > 2 && text.front() == '{' && text.back() == '}') {
        text = text.substr(1, text.size() - 2);
    }
    for (char c : text) {
        if (!is_variable_letter(c)) {
            return {};
        }
    }
    return text.front() >= '0' && text.front() <= '9' ? std::string_view() : text;
}

template <typename T>
T* element(const ngx_array_t& array, ngx_uint_t i) {
    return static_cast<T**>(array.elts)[i];
}

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

bool waits_for_body(ngx_conf_t* cf, const PolicyConf& policy) {
    for (const Text* text : {&policy.key, const_cast<const Text*>(policy.variable),
                             const_cast<const Text*>(policy.cost_variable)}) {
        if (text != nullptr && may_depend_on_body(cf, view(text->source))) {
            return true;
        }
    }
    return false;
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
        policy->zone = element<ZoneConf>(main->zones, 0);
    } else {
        return mistake_at(cf, policy->position,
                          "ai_limit_policy: several zones but no zone= in policy", policy->name,
                          "");
    }
    policy->zone->policies += 1 + policy->may_count_tokens + policy->syncs;
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
    policy->zone->flights |= policy->has_concurrency || policy->may_count_tokens;
    policy->memo = static_cast<LimitMemo*>(ngx_pcalloc(cf->pool, sizeof(LimitMemo)));
    if (policy->weights_variable != nullptr) {
        policy->weights_memo =
            static_cast<WeightsMemo*>(ngx_pcalloc(cf->pool, sizeof(WeightsMemo)));
        if (policy->weights_memo == nullptr) {
            return NGX_ERROR;
        }
    }
    return policy->memo != nullptr ? NGX_OK : NGX_ERROR;
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

void add_policy(PolicySet* set, PolicyConf* policy) {
    ngx_uint_t key = find_run(*set, *policy);
    ngx_uint_t last = set->run_count;
    if (last > 0 && set->runs[last - 1].key == key) {
        ++set->runs[last - 1].count;
    } else {
        set->runs[set->run_count++] = {1, key};
    }
    set->policies[set->count++] = policy;
    set->dry_run |= policy->dry_run;
    set->concurrency |= policy->has_concurrency;
    set->may_wait |= policy->may_count_tokens || policy->after_body || policy->in_redis;
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
                                  ? ", which is limit_req's: nothing is delayed here,"
                                  : ", declare it with ai_limit_policy,");
        }
        policy->used = true;
        add_policy(policy->preaccess ? &list->preaccess : &list->access, policy);
        main->preaccess |= policy->preaccess;
        main->access |= !policy->preaccess;
    }
    return NGX_OK;
}

void warn_of_unused_policies(ngx_conf_t* cf, const MainConf& main) {
    for (ngx_uint_t i = 0; i < main.policies.nelts; ++i) {
        const PolicyConf* policy = element<PolicyConf>(main.policies, i);
        if (!policy->used) {
            warn_at(cf, policy->position, "ai_limit_policy: no ai_limit names", policy->name,
                    ", so it limits nothing,");
        }
    }
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
    return a.size() == b.size() && ngx_strncasecmp(to_ngx(a).data, to_ngx(b).data, a.size()) == 0;
}

// A variable named after a policy, $ai_limit_remaining_NAME, does not distinguish upper from lower
// case.
PolicyConf* find_policy(MainConf* conf, std::string_view name) {
    for (ngx_uint_t i = 0; i < conf->policies.nelts; ++i) {
        PolicyConf* policy = element<PolicyConf>(conf->policies, i);
        if (equal_ignoring_case(view(policy->name), name)) {
            return policy;
        }
    }
    return nullptr;
}

ZoneConf* find_zone(MainConf* conf, std::string_view name) {
    for (ngx_uint_t i = 0; i < conf->zones.nelts; ++i) {
        ZoneConf* zone = element<ZoneConf>(conf->zones, i);
        if (view(zone->name) == name) {
            return zone;
        }
    }
    return nullptr;
}

ngx_int_t compile_text(ngx_conf_t* cf, ngx_str_t* source, Text* text) {
    ngx_http_compile_complex_value_t compile{};
    compile.cf = cf;
    compile.value = source;
    compile.complex_value = &text->value;
    if (ngx_http_compile_complex_value(&compile) != NGX_OK) {
        return NGX_ERROR;
    }
    text->source = *source;
    text->variable = NGX_ERROR;
    std::string_view name = lone_variable(view(*source));
    if (!name.empty()) {
        ngx_str_t wanted = to_ngx(name);
        text->variable = ngx_http_get_variable_index(cf, &wanted);
        if (text->variable == NGX_ERROR) {
            return NGX_ERROR;
        }
        if (name.substr(0, kHeaderPrefix.size()) == kHeaderPrefix) {
            return name_header(cf, name.substr(kHeaderPrefix.size()), &text->header);
        }
    }
    return NGX_OK;
}

ngx_int_t evaluate_by_nginx(ngx_http_request_t* r, Text* text, ngx_str_t* value) {
    if (text->trims_headers) {
        trim_headers(r);
    }
    if (text->variable == NGX_ERROR) {
        return ngx_http_complex_value(r, &text->value, value);
    }
    ngx_http_variable_value_t* found =
        ngx_http_get_flushed_variable(r, static_cast<ngx_uint_t>(text->variable));
    if (found == nullptr || found->not_found) {
        *value = {0, nullptr};
        return NGX_OK;
    }
    *value = {found->len, found->data};
    if (text->header.text.len != 0) {
        // It may have been given its value before the headers were trimmed.
        trim(value);
        if (text->reads_header) {
            settle_repeated_header(r, text->header, value);
        }
    }
    return NGX_OK;
}

void* ngx_http_ai_limit_create_main_conf(ngx_conf_t* cf) {
    MainConf* conf = static_cast<MainConf*>(ngx_pcalloc(cf->pool, sizeof(MainConf)));
    if (conf == nullptr || ngx_array_init(&conf->zones, cf->pool, 2, sizeof(ZoneConf*)) != NGX_OK ||
        ngx_array_init(&conf->policies, cf->pool, 8, sizeof(PolicyConf*)) != NGX_OK ||
        ngx_array_init(&conf->lists, cf->pool, 8, sizeof(PolicyList*)) != NGX_OK) {
        return nullptr;
    }
    return conf;
}

void* ngx_http_ai_limit_create_loc_conf(ngx_conf_t* cf) {
    LocConf* conf = static_cast<LocConf*>(ngx_pcalloc(cf->pool, sizeof(LocConf)));
    if (conf == nullptr) {
        return nullptr;
    }
    conf->list = static_cast<PolicyList*>(NGX_CONF_UNSET_PTR);
    conf->headers = NGX_CONF_UNSET_UINT;
    conf->error_format = NGX_CONF_UNSET_UINT;
    conf->status = NGX_CONF_UNSET_UINT;
    conf->never_status = NGX_CONF_UNSET_UINT;
    conf->blocked_status = NGX_CONF_UNSET_UINT;
    conf->websocket = NGX_CONF_UNSET_UINT;
    conf->dry_run = NGX_CONF_UNSET;
    conf->log_level = NGX_CONF_UNSET_UINT;
    conf->usage = static_cast<UsagePaths*>(NGX_CONF_UNSET_PTR);
    conf->include_usage = NGX_CONF_UNSET;
    conf->unreadable_body = NGX_CONF_UNSET_UINT;
    return conf;
}

char* ngx_http_ai_limit_merge_loc_conf(ngx_conf_t* cf, void* parent, void* child) {
    LocConf* prev = static_cast<LocConf*>(parent);
    LocConf* conf = static_cast<LocConf*>(child);
    if (conf->list == NGX_CONF_UNSET_PTR) {
        conf->list = prev->list == NGX_CONF_UNSET_PTR ? nullptr : prev->list;
    }
    ngx_conf_merge_uint_value(conf->headers, prev->headers,
                              header_styles(HeaderStyle::kXRateLimit));
    ngx_conf_merge_uint_value(conf->error_format, prev->error_format,
                              static_cast<ngx_uint_t>(ErrorFormat::kAuto));
    ngx_conf_merge_uint_value(conf->status, prev->status, NGX_HTTP_TOO_MANY_REQUESTS);
    ngx_conf_merge_uint_value(conf->never_status, prev->never_status, kDefaultNeverStatus);
    ngx_conf_merge_uint_value(conf->blocked_status, prev->blocked_status, kDefaultBlockedStatus);
    ngx_conf_merge_uint_value(conf->websocket, prev->websocket,
                              static_cast<ngx_uint_t>(WebSocket::kByPolicies));
    ngx_conf_merge_value(conf->dry_run, prev->dry_run, 0);
    ngx_conf_merge_uint_value(conf->log_level, prev->log_level, NGX_LOG_ERR);
    ngx_conf_merge_ptr_value(conf->usage, prev->usage, nullptr);
    ngx_conf_merge_value(conf->include_usage, prev->include_usage, 0);
    ngx_conf_merge_uint_value(conf->unreadable_body, prev->unreadable_body,
                              static_cast<ngx_uint_t>(UnreadableBody::kReject));
    if (conf->api_writes) {
        warn_of_open_api(cf, conf->api_position);
    }
    return NGX_CONF_OK;
}

namespace {

/** True if no server lets X_Api_Key in. If one does, $http_x_api_key stands for that header as well
 * as for X-Api-Key. */
bool headers_have_dashes_only(const ngx_http_core_main_conf_t& core) {
    for (ngx_uint_t i = 0; i < core.servers.nelts; ++i) {
        ngx_http_core_srv_conf_t* server =
            static_cast<ngx_http_core_srv_conf_t**>(core.servers.elts)[i];
        if (server->underscores_in_headers || !server->ignore_invalid_headers) {
            return false;
        }
    }
    return true;
}

/**
 * `set` and `map` may define a variable of that name themselves; then it is read by another
 * function.
 */
void find_headers(const ngx_http_variable_t* variables, const ngx_http_variable_t& plain,
                  bool dashes_only, Text* text) {
    if (text->variable == NGX_ERROR) {
        text->trims_headers = text->value.lengths != nullptr;
        return;
    }
    const ngx_http_variable_t& variable = variables[text->variable];
    text->reads_header =
        dashes_only && text->header.text.len != 0 && variable.get_handler == plain.get_handler;
    text->trims_headers = !text->reads_header && (variable.flags & NGX_HTTP_VAR_CHANGEABLE) != 0;
}

}  // namespace

void find_headers_in_policies(ngx_cycle_t* cycle, MainConf* conf) {
    ngx_http_core_main_conf_t* core = static_cast<ngx_http_core_main_conf_t*>(
        ngx_http_cycle_get_module_main_conf(cycle, ngx_http_core_module));
    ngx_http_variable_t* variables = static_cast<ngx_http_variable_t*>(core->variables.elts);
    bool dashes_only = headers_have_dashes_only(*core);
    for (ngx_uint_t i = 0; i < conf->policies.nelts; ++i) {
        PolicyConf* policy = element<PolicyConf>(conf->policies, i);
        for (Text* text : {&policy->key, policy->variable, policy->cost_variable,
                           policy->weights_variable, policy->reserve_variable}) {
            if (text != nullptr) {
                find_headers(variables, variables[conf->plain_header_variable], dashes_only, text);
            }
        }
    }
}

ngx_int_t resolve_names(ngx_conf_t* cf) {
    MainConf* main =
        static_cast<MainConf*>(ngx_http_conf_get_module_main_conf(cf, ngx_http_ai_limit_module));
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
    main->body_variables = uses_body_variables(cf);
    main->usage_variables = uses_usage_variables(cf);
    main->tokens |= main->usage_variables;
    for (ngx_uint_t i = 0; i < main->policies.nelts; ++i) {
        PolicyConf* policy = element<PolicyConf>(main->policies, i);
        policy->after_body = main->body_variables && waits_for_body(cf, *policy);
        if (resolve_sync(cf, main, policy) != NGX_OK || resolve_zone(cf, main, policy) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    for (ngx_uint_t i = 0; i < main->lists.nelts; ++i) {
        if (resolve_list(cf, main, element<PolicyList>(main->lists, i)) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    warn_of_unused_policies(cf, *main);
    for (ngx_uint_t i = 0; i < main->zones.nelts; ++i) {
        if (request_zone(cf, element<ZoneConf>(main->zones, i)) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    return NGX_OK;
}

}  // namespace ai_limit
