#pragma once

// Reads the parameters of ai_limit_policy, each into its fields of PolicyConf. How they go together
// is checked behind all of them (policy_directive.cpp).

#include "core/limits/rate.h"
#include "nginx/conf/config.h"

namespace ai_limit {

/** A policy while its parameters are read. */
struct PolicyReader {
    PolicyConf* policy;
    Rate rate;
    uint32_t headroom;  // in percent
};

constexpr const char* kExpectedBurst =
    ", expected a whole number above zero, or dollars such as 0.5 with a rate in usd";
constexpr const char* kExpectedReserve =
    ", expected auto, auto:N, max, off or a whole number, or dollars such as 0.05 with a rate in "
    "usd";

/** `queue=` where it is not written. */
constexpr uint32_t kUsualQueue = 100;

// `word` is the whole parameter, and `value` the part behind its "=". They return NGX_CONF_OK, or
// what the directive has to return after a message that says what to write.
char* read_key(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_rate(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_concurrency(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_algorithm(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_burst(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_cost(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_reserve(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_overrun(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_count(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_time_zone(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_phase(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_sync(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_zone_of_policy(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_dry_run(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_wait(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_queue(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_share(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_headroom(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_label(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_warn(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);
char* read_weight(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PolicyReader* reader);

}  // namespace ai_limit
