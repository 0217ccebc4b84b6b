#include "nginx/conf/access_rules.h"

namespace ai_limit {

namespace {

/** A module that says who may reach a location. Its configuration begins with so many words, of
 * which one is not zero if the module is used. nginx has no header for it, and merges it before
 * this module's. */
struct AccessModule {
    std::string_view name;
    size_t words;
};

constexpr AccessModule kAccessModules[] = {
    {"ngx_http_access_module", 1 + (NGX_HAVE_INET6 != 0) + (NGX_HAVE_UNIX_DOMAIN != 0)},
    {"ngx_http_auth_basic_module", 1},
    {"ngx_http_auth_request_module", 1},
};

bool is_used(ngx_conf_t* cf, const ngx_module_t& module, size_t words) {
    void* const* conf = static_cast<void* const*>(
        static_cast<ngx_http_conf_ctx_t*>(cf->ctx)->loc_conf[module.ctx_index]);
    for (size_t i = 0; conf != nullptr && i < words; ++i) {
        if (conf[i] != nullptr) {
            return true;
        }
    }
    return false;
}

}  // namespace

bool is_access_limited(ngx_conf_t* cf) {
    for (ngx_module_t** module = cf->cycle->modules; *module != nullptr; ++module) {
        for (const AccessModule& row : kAccessModules) {
            if (row.name == (*module)->name && is_used(cf, **module, row.words)) {
                return true;
            }
        }
    }
    return false;
}

}  // namespace ai_limit
