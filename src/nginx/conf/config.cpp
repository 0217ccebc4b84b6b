#include "nginx/conf/config.h"

#include "nginx/conf/access_rules.h"
#include "nginx/conf/conf_words.h"

namespace ai_limit {

namespace {

// A flag has the same bytes as a number, and the same value where it is not set.
static_assert(sizeof(ngx_flag_t) == sizeof(ngx_uint_t) &&
              static_cast<ngx_uint_t>(NGX_CONF_UNSET) == NGX_CONF_UNSET_UINT);

ngx_uint_t load(const LocConf& conf, const LocSetting& setting) {
    ngx_uint_t value = 0;
    ngx_memcpy(&value, reinterpret_cast<const char*>(&conf) + setting.offset, sizeof(value));
    return value;
}

void store(LocConf* conf, const LocSetting& setting, ngx_uint_t value) {
    ngx_memcpy(reinterpret_cast<char*>(conf) + setting.offset, &value, sizeof(value));
}

}  // namespace

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
        ngx_array_init(&conf->lists, cf->pool, 8, sizeof(PolicyList*)) != NGX_OK ||
        ngx_array_init(&conf->max_outputs, cf->pool, 4, sizeof(MaxOutputUse)) != NGX_OK) {
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
    conf->usage = static_cast<UsagePaths*>(NGX_CONF_UNSET_PTR);
    conf->max_output = static_cast<MaxOutputConf*>(NGX_CONF_UNSET_PTR);
    for (const LocSetting& setting : kLocSettings) {
        store(conf, setting, NGX_CONF_UNSET_UINT);
    }
    return conf;
}

namespace {

/**
 * Inherits ai_limit_max_output. A location that has it needs a list of policies, be it an empty
 * one: without a list no phase looks at its requests.
 */
ngx_int_t merge_max_output(ngx_conf_t* cf, const LocConf& prev, LocConf* conf) {
    if (conf->max_output == NGX_CONF_UNSET_PTR) {
        conf->max_output = prev.max_output == NGX_CONF_UNSET_PTR ? nullptr : prev.max_output;
    }
    if (conf->max_output == nullptr) {
        return NGX_OK;
    }
    if (append(&main_conf(cf)->max_outputs, MaxOutputUse{conf->max_output, conf->list}) != NGX_OK) {
        return NGX_ERROR;
    }
    if (conf->list == nullptr) {
        conf->list = allocate<PolicyList>(cf);
    }
    return conf->list != nullptr ? NGX_OK : NGX_ERROR;
}

/** Takes the policies of a location with ai_limit_self out of its requests' way. */
void show_own_limits(ngx_conf_t* cf, LocConf* conf) {
    if (!conf->is_self) {
        return;
    }
    conf->shown = conf->list;
    conf->list = nullptr;
    if (conf->shown == nullptr || conf->shown->names.nelts == 0) {
        warn_at(cf, conf->self_position, "ai_limit_self:", ngx_string("ai_limit"),
                " names no policy here, so there is no limit to show,");
    }
}

}  // namespace

char* ngx_http_ai_limit_merge_loc_conf(ngx_conf_t* cf, void* parent, void* child) {
    LocConf* prev = static_cast<LocConf*>(parent);
    LocConf* conf = static_cast<LocConf*>(child);
    if (conf->list == NGX_CONF_UNSET_PTR) {
        PolicyList* outer = prev->is_self ? prev->shown : prev->list;
        conf->list = outer == NGX_CONF_UNSET_PTR ? nullptr : outer;
    }
    if (merge_max_output(cf, *prev, conf) != NGX_OK) {
        return error_result();
    }
    show_own_limits(cf, conf);
    ngx_conf_merge_ptr_value(conf->usage, prev->usage, nullptr);
    for (const LocSetting& setting : kLocSettings) {
        if (load(*conf, setting) == NGX_CONF_UNSET_UINT) {
            ngx_uint_t outer = load(*prev, setting);
            store(conf, setting, outer == NGX_CONF_UNSET_UINT ? setting.preset : outer);
        }
    }
    if (conf->api_writes && !is_access_limited(cf)) {
        warn_at(cf, conf->api_position, "ai_limit_api:", ngx_string("write=on"),
                " without allow and deny or auth_basic lets everybody change limits,");
    }
    return NGX_CONF_OK;
}

}  // namespace ai_limit
