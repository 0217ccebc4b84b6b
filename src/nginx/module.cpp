// The tables that register the module with nginx: directives, where they may stand, and what runs
// when.

#include "nginx/admit/admit.h"
#include "nginx/answer/header_filter.h"
#include "nginx/answer/variables.h"
#include "nginx/api/api.h"
#include "nginx/api/self.h"
#include "nginx/conf/config.h"
#include "nginx/directives/directives.h"
#include "nginx/directives/resolve.h"
#include "nginx/request/body_field_directive.h"
#include "nginx/worker/zone_setup.h"

namespace ai_limit {

namespace {

constexpr ngx_uint_t kEverywhere = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF;

ngx_command_t commands[] = {
    {ngx_string("ai_limit_zone"), NGX_HTTP_MAIN_CONF | NGX_CONF_1MORE, ngx_http_ai_limit_zone,
     NGX_HTTP_MAIN_CONF_OFFSET, 0, nullptr},

    {ngx_string("ai_limit_policy"), NGX_HTTP_MAIN_CONF | NGX_CONF_1MORE, ngx_http_ai_limit_policy,
     NGX_HTTP_MAIN_CONF_OFFSET, 0, nullptr},

    {ngx_string("ai_limit_prices"), NGX_HTTP_MAIN_CONF | NGX_CONF_1MORE, ngx_http_ai_limit_prices,
     NGX_HTTP_MAIN_CONF_OFFSET, 0, nullptr},

    {ngx_string("ai_limit_redis"), NGX_HTTP_MAIN_CONF | NGX_CONF_1MORE, ngx_http_ai_limit_redis,
     NGX_HTTP_MAIN_CONF_OFFSET, 0, nullptr},

    {ngx_string("ai_limit_body_field"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE2,
     ngx_http_ai_limit_body_field, NGX_HTTP_MAIN_CONF_OFFSET, 0, nullptr},

    {ngx_string("ai_limit"), kEverywhere | NGX_HTTP_LIF_CONF | NGX_CONF_1MORE, ngx_http_ai_limit,
     NGX_HTTP_LOC_CONF_OFFSET, 0, nullptr},

    {ngx_string("ai_limit_headers"), kEverywhere | NGX_CONF_1MORE, ngx_http_ai_limit_headers,
     NGX_HTTP_LOC_CONF_OFFSET, 0, nullptr},

    {ngx_string("ai_limit_error_format"), kEverywhere | NGX_CONF_TAKE1,
     ngx_http_ai_limit_error_format, NGX_HTTP_LOC_CONF_OFFSET, 0, nullptr},

    {ngx_string("ai_limit_status"), kEverywhere | NGX_CONF_TAKE123, ngx_http_ai_limit_status,
     NGX_HTTP_LOC_CONF_OFFSET, 0, nullptr},

    {ngx_string("ai_limit_websocket"), kEverywhere | NGX_CONF_TAKE1, ngx_http_ai_limit_websocket,
     NGX_HTTP_LOC_CONF_OFFSET, 0, nullptr},

    {ngx_string("ai_limit_dry_run"), kEverywhere | NGX_CONF_FLAG, ngx_conf_set_flag_slot,
     NGX_HTTP_LOC_CONF_OFFSET, offsetof(LocConf, dry_run), nullptr},

    {ngx_string("ai_limit_unreadable_body"), kEverywhere | NGX_CONF_TAKE1,
     ngx_http_ai_limit_unreadable_body, NGX_HTTP_LOC_CONF_OFFSET, 0, nullptr},

    {ngx_string("ai_limit_log_level"), kEverywhere | NGX_CONF_TAKE1, ngx_http_ai_limit_log_level,
     NGX_HTTP_LOC_CONF_OFFSET, 0, nullptr},

    {ngx_string("ai_limit_usage"), kEverywhere | NGX_CONF_1MORE, ngx_http_ai_limit_usage,
     NGX_HTTP_LOC_CONF_OFFSET, 0, nullptr},

    {ngx_string("ai_limit_include_usage"), kEverywhere | NGX_CONF_FLAG,
     ngx_http_ai_limit_include_usage, NGX_HTTP_LOC_CONF_OFFSET, offsetof(LocConf, include_usage),
     nullptr},

    {ngx_string("ai_limit_max_output"), kEverywhere | NGX_CONF_TAKE12, ngx_http_ai_limit_max_output,
     NGX_HTTP_LOC_CONF_OFFSET, 0, nullptr},

    {ngx_string("ai_limit_api"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS | NGX_CONF_TAKE1,
     ngx_http_ai_limit_api, NGX_HTTP_LOC_CONF_OFFSET, 0, nullptr},

    {ngx_string("ai_limit_self"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS, ngx_http_ai_limit_self,
     NGX_HTTP_LOC_CONF_OFFSET, 0, nullptr},

    ngx_null_command};

ngx_int_t preconfiguration(ngx_conf_t* cf) noexcept {
    return add_variables(cf);
}

ngx_int_t postconfiguration(ngx_conf_t* cf) noexcept {
    if (resolve_names(cf) != NGX_OK || request_zones(cf) != NGX_OK ||
        add_phase_handlers(cf) != NGX_OK) {
        return NGX_ERROR;
    }
    return NGX_OK;
}

ngx_http_module_t module_context = {preconfiguration,
                                    postconfiguration,
                                    ngx_http_ai_limit_create_main_conf,
                                    nullptr,
                                    nullptr,
                                    nullptr,
                                    ngx_http_ai_limit_create_loc_conf,
                                    ngx_http_ai_limit_merge_loc_conf};

// A module of its own, because its place among nginx's filters is another one.

ngx_int_t add_page_filter(ngx_conf_t*) noexcept {
    add_page_header_filter();
    return NGX_OK;
}

ngx_http_module_t pages_module_context = {nullptr, add_page_filter, nullptr, nullptr,
                                          nullptr, nullptr,         nullptr, nullptr};

}  // namespace

}  // namespace ai_limit

ngx_module_t ngx_http_ai_limit_pages_module = {NGX_MODULE_V1, &ai_limit::pages_module_context,
                                               nullptr,       NGX_HTTP_MODULE,
                                               nullptr,       nullptr,
                                               nullptr,       nullptr,
                                               nullptr,       nullptr,
                                               nullptr,       NGX_MODULE_V1_PADDING};

ngx_module_t ngx_http_ai_limit_module = {NGX_MODULE_V1,
                                         &ai_limit::module_context,
                                         ai_limit::commands,
                                         NGX_HTTP_MODULE,
                                         nullptr,  // init master
                                         ai_limit::ngx_http_ai_limit_init_module,
                                         ai_limit::ngx_http_ai_limit_init_process,
                                         nullptr,  // init thread
                                         nullptr,  // exit thread
                                         ai_limit::ngx_http_ai_limit_exit_process,
                                         ai_limit::ngx_http_ai_limit_exit_master,
                                         NGX_MODULE_V1_PADDING};
