#pragma once

// One decision on a request.

#include "nginx/conf/live.h"

namespace ai_limit {

struct ChargeInRedis;  // nginx/sharing/charge_in_redis.h

/** Whose a charge is. */
struct Part {
    const PolicyConf* policy;
    ngx_str_t key;
    ngx_str_t label;  // read_label()'s; not set if the policy has none
};

/** Reads what is shown beside the part's key. Without memory that is nothing. */
void read_label(ngx_http_request_t* r, Part* part);

/** Returns what is shown beside the part's key; empty for nothing. */
inline std::string_view label_of(const Part& part) {
    return part.policy->label != nullptr ? view(part.label) : std::string_view();
}

/** One decision: the policies of one phase that were evaluated together. */
struct Decision {
    Decision* earlier;
    ngx_uint_t count;
    const PolicyList* spared;  // after a refusal: what is not asked any more; else nullptr
    ChargeInRedis* in_redis;   // by charge; nullptr if Redis was not asked
    Charge* more;              // memory for the next reservation or ledger of a charge
    bool dry_run;              // by ai_limit_dry_run: refuses nothing
    bool refused;              // or would have, on a dry run
    Now now;
    Part* parts;
    PolicyCharge charges[kMaxSetPolicies];  // only as many as were asked for, before the parts
};

/** True if the charge reserves tokens, or could, until the request has ended: it is to be settled.
 */
bool is_to_be_settled(const Decision& one, const PolicyCharge& charge);

/** True if the policy refuses by itself, not for want of room or of Redis. */
inline bool is_refused(const Charge& charge) {
    return charge.verdict == Verdict::kRefused || charge.verdict == Verdict::kUnpriced;
}

/** True if a policy in money of the decision refuses since the request has no price. */
bool is_unpriced(const Decision& one);

/**
 * True if the request was refused without its policies deciding: its body cannot be read, it asks
 * for a WebSocket, or it has no price.
 */
bool is_refused_unasked(const Decision& one);

/** True if a dry run alone kept the decision from refusing. */
bool would_refuse(const Decision& one);

/** True if the decision has a charge of the policy. */
bool took_part(const Decision& one, const PolicyConf* policy);

/** Returns the policy's charge in the request's latest or an earlier decision, and that decision in
 * `decision`; nullptr if the policy did not take part. */
const PolicyCharge* find_charge(const Decision* latest, const PolicyConf* policy,
                                const Decision** decision = nullptr);

}  // namespace ai_limit
