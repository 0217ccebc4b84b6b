#include "nginx/conf/config.h"

#include "nginx/conf/access_rules.h"
#include "nginx/conf/conf_words.h"

namespace ai_limit {

// A variable named after a policy, $ai_limit_remaining_NAME, does not distinguish upper from lower
// case.
PolicyConf* find_policy(MainConf* conf, std::string_view name) {
    for (PolicyConf* policy : Elements<PolicyConf>(conf->policies)) {
        if (equal_ignoring_case(view(policy->name), name)) {
            return policy;
        }
    }
    return nullptr;
}

const PolicyConf* find_policy(const MainConf* conf, std::string_view name) {
    return find_policy(const_cast<MainConf*>(conf), name);
}

ZoneConf* find_zone(MainConf* conf, std::string_view name) {
    for (ZoneConf* zone : Elements<ZoneConf>(conf->zones)) {
        if (view(zone->name) == name) {
            return zone;
        }
    }
    return nullptr;
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
    if (conf->api_writes && !is_access_limited(cf)) {
        warn_at(cf, conf->api_position, "ai_limit_api:", ngx_string("write=on"),
                " without allow and deny or auth_basic lets everybody change limits,");
    }
    return NGX_CONF_OK;
}

}  // namespace ai_limit
