#pragma once

#include "ngx.h"

namespace ai_limit {

extern "C" {
char* ngx_http_ai_limit_zone(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);
char* ngx_http_ai_limit_policy(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);
char* ngx_http_ai_limit_prices(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);
char* ngx_http_ai_limit_redis(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);
char* ngx_http_ai_limit(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);
char* ngx_http_ai_limit_headers(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);
char* ngx_http_ai_limit_error_format(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);
char* ngx_http_ai_limit_unreadable_body(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);
char* ngx_http_ai_limit_status(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);
char* ngx_http_ai_limit_websocket(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);
char* ngx_http_ai_limit_log_level(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);
char* ngx_http_ai_limit_usage(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);
char* ngx_http_ai_limit_max_output(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);
char* ngx_http_ai_limit_include_usage(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);
}

}  // namespace ai_limit
