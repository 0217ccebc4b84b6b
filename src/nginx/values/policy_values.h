#pragma once

#include "core/policies/overrides.h"
#include "nginx/conf/config.h"

namespace ai_limit {

/**
 * Puts the limit and the cost of this request into `ask`, which comes with what the policy always
 * asks for. The limit is the one that an operator has set for the key (overrides.h), otherwise what
 * the policy's variable holds. NGX_DECLINED if the policy does not apply: there is no override, and
 * the variable is empty, or malformed, which is logged and counted. A malformed cost counts as 1.
 * `hash`: of the key, by hash_key(). NGX_ERROR if there is no memory.
 */
ngx_int_t read_values(ngx_http_request_t* r, const PolicyConf* policy, std::string_view key,
                      uint64_t hash, Ask* ask);

/** False for a limit that was set while the policy counted something else, before a reload: it is
 * not in force. */
bool can_have(const PolicyConf& policy, Measure measure);

/** Returns the tag of a key's override. `hash`: by hash_key(). Nodes that share the policy know the
 * key only as Redis does, by a hash of its own. 0, which is nobody's, without memory. */
uint64_t tag_of_override(const PolicyConf& policy, std::string_view key, uint64_t hash);

/** The same for a key that Redis knows by this hash, in a policy that nodes share. */
uint64_t tag_of_shared_override(const PolicyConf& policy, std::string_view redis_hash);

/** Finds the limit that an operator has set for a key, if it is in force. `tag`: by
 * tag_of_override(). */
bool find_override_in_force(const PolicyConf& policy, uint64_t tag, OverrideView* found);

/** Takes the limit that an operator has set since for the key of a charge that has not passed, or
 * gives the charge the policy's own again. */
void renew_override(ngx_http_request_t* r, const PolicyConf& policy, std::string_view key,
                    Charge* charge);

/** Logs, once in a process, that limits of the policy share a count (has_too_many_periods()). */
void log_too_many_periods(const PolicyConf& policy, ngx_log_t* log);

/**
 * Returns how a policy weighs what this request uses, whose limit for it is `limit`. A policy in
 * money goes by the prices of the model (request_price.h), one in tokens by `count=` or what its
 * variable holds now. An empty variable says total; so does a malformed one, which is logged and
 * counted once for each request. Valid until the next call.
 */
const TokenWeights* read_weights(ngx_http_request_t* r, const PolicyConf* policy,
                                 const Limit& limit);

/**
 * Computes how much a policy in tokens or money reserves for a request, under the limit that the
 * request has: by what its body asks for and by what was learned for its key, unless `reserve=`
 * says a number or off. `hash`: by hash_key(). NGX_ERROR without memory.
 */
ngx_int_t read_reservation(ngx_http_request_t* r, const PolicyConf* policy, uint64_t hash,
                           const Limit& limit, Amount* reserved);

/** Who shares a policy's key with others. */
struct Sharer {
    uint64_t hash;  // by hash_key(); 0 for requests that `share=` says nothing about
    uint32_t weight;
    ngx_str_t text;
};

/** Reads who shares the key of a policy with share=. A malformed weight counts as 1, which is
 * logged and counted. NGX_ERROR without memory. */
ngx_int_t read_sharer(ngx_http_request_t* r, const PolicyConf& policy, Sharer* sharer);

/** Computes what the prompt of a request costs in a policy in tokens or money,
 * by the estimate or by what was learned, if that is more. `hash`: of the key. NGX_ERROR without
 * memory. */
ngx_int_t prompt_cost(ngx_http_request_t* r, const PolicyConf* policy, uint64_t hash,
                      const Limit& limit, Amount* cost);

}  // namespace ai_limit
