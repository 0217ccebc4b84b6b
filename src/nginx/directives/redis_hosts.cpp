#include "nginx/directives/redis_hosts.h"

#include "nginx/conf/conf_words.h"

namespace ai_limit {

namespace {

/** Returns nullptr if there is none: nginx itself makes an empty one then. */
ngx_resolver_t* http_resolver(ngx_conf_t* cf) {
    ngx_http_core_loc_conf_t* core = static_cast<ngx_http_core_loc_conf_t*>(
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module));
    bool usable = core->resolver != nullptr && has_servers(core->resolver->connections);
    return usable ? core->resolver : nullptr;
}

/** Returns false if it is not known. */
bool resolve_now(ngx_conf_t* cf, RedisHost* host) {
    ngx_url_t url{};
    url.host = host->host;
    url.port = host->port;
    if (ngx_inet_resolve_host(cf->pool, &url) != NGX_OK) {
        return false;
    }
    host->addresses = url.addrs;
    host->count = url.naddrs;
    return host->count != 0;
}

}  // namespace

ngx_int_t resolve_redis_hosts(ngx_conf_t* cf, MainConf* main) {
    RedisServers* servers = &main->redis->servers;
    servers->resolver = http_resolver(cf);
    for (ngx_uint_t i = 0; i < servers->count; ++i) {
        RedisHost* host = &servers->hosts[i];
        if (host->is_name && !resolve_now(cf, host) && servers->resolver == nullptr) {
            return mistake_at(cf, main->redis_position, "ai_limit_redis: host not found in",
                              host->word,
                              ", and no \"resolver\" in the http block to find it later");
        }
    }
    return NGX_OK;
}

}  // namespace ai_limit
