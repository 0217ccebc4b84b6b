#include "nginx/admit/remaining_output.h"

#include "clock.h"
#include "core/counts/output_room.h"
#include "nginx/decision/report.h"
#include "nginx/sharing/node_decision.h"
#include "nginx/sharing/redis_decision.h"
#include "nginx/values/policy_values.h"

namespace ai_limit {

namespace {

/** The part of a policy's limit that is left to a request. */
struct Room {
    Amount prompt;  // what the prompt costs
    Amount output;  // tokens; kMaxAmount: this policy limits none
};

bool limits_output(const PolicyCharge& charge) {
    return charge.reservation != nullptr && !charge.use.dry_run;
}

void set_cost(PolicyCharge* charge, Amount cost) {
    charge->use.cost = cost;
    charge->reservation->cost = cost;
}

/** Returns the reservations that a look in this node's memory has found. The count of a policy that
 * Redis decides on does not include them. */
Amount reserved_here(const PolicyCharge& charge) {
    return in_redis(charge.use) ? used(*charge.reservation->limit, charge.reservation->state) : 0;
}

ngx_int_t find_room(ngx_http_request_t* r, const Decision& one, ngx_uint_t i, bool looked_here,
                    Room* room) {
    const PolicyCharge& charge = one.charges[i];
    const PolicyConf& policy = *one.parts[i].policy;
    if (prompt_cost(r, &policy, hash_of(charge.use), *charge.use.limit, &room->prompt) != NGX_OK) {
        return NGX_ERROR;
    }
    Amount left = describe_charge(charge, policy, one.now).remaining;
    for (const Amount taken : {looked_here ? reserved_here(charge) : 0, room->prompt}) {
        left -= ngx_min(left, taken);
    }
    room->output = output_room(left, *read_weights(r, &policy, *charge.use.limit));
    return NGX_OK;
}

/**
 * Sets the reservations by the output that is left. A policy that has no room for one token of each
 * answer gets a cost that cannot fit, so that it refuses.
 */
ngx_int_t set_reservations(ngx_http_request_t* r, TokenContext* tokens, Decision* one,
                           const Room* rooms) {
    const Amount least = ngx_min(tokens->output->answers, most_output(*tokens));
    tokens->reserved_output = 0;  // of the reservations before
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        PolicyCharge* charge = &one->charges[i];
        const PolicyConf* policy = one->parts[i].policy;
        Amount cost = 0;
        if (charge->reservation == nullptr) {
            continue;
        }
        if (read_reservation(r, policy, hash_of(charge->use), *charge->use.limit, &cost) !=
            NGX_OK) {
            return NGX_ERROR;
        }
        if (limits_output(*charge) && rooms[i].output < least) {
            cost =
                ngx_max(cost, rooms[i].prompt +
                                  output_cost(least, *read_weights(r, policy, *charge->use.limit)));
        }
        set_cost(charge, cost);
    }
    return NGX_OK;
}

Lowering lower(ngx_http_request_t* r, TokenContext* tokens, Decision* one, bool at_first) {
    Room rooms[kMaxSetPolicies];
    Amount least = kMaxAmount;
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        if (limits_output(one->charges[i])) {
            if (find_room(r, *one, i, at_first, &rooms[i]) != NGX_OK) {
                return Lowering::kFailed;
            }
            least = ngx_min(least, rooms[i].output);
        }
    }
    const Amount before = most_output(*tokens);
    const bool possible = least == kMaxAmount || limit_output(tokens, least);
    const bool lowered = most_output(*tokens) < before;
    if ((at_first || lowered) && set_reservations(r, tokens, one, rooms) != NGX_OK) {
        return Lowering::kFailed;
    }
    return !possible ? Lowering::kImpossible : lowered ? Lowering::kLowered : Lowering::kUnchanged;
}

}  // namespace

bool limits_to_remaining(const LocConf& conf, const Decision& one, const TokenContext& tokens) {
    if (conf.max_output == nullptr || conf.max_output->number != 0 || one.dry_run ||
        tokens.output == nullptr || tokens.info.unreadable()) {
        return false;
    }
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (limits_output(one.charges[i])) {
            return true;
        }
    }
    return false;
}

Lowering lower_at_first(ngx_http_request_t* r, TokenContext* tokens, Decision* one) {
    tokens->output->attempts = 0;
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        if (one->charges[i].reservation != nullptr) {
            set_cost(&one->charges[i], 0);
        }
    }
    one->now = now_by_nginx();
    set_decider(one, Decider::kElsewhere);
    would_admit(one->charges, one->count, one->now);
    return lower(r, tokens, one, true);
}

Lowering lower_again(ngx_http_request_t* r, TokenContext* tokens, Decision* one) {
    static constexpr uint8_t kMostAttempts = 3;
    if (++tokens->output->attempts >= kMostAttempts) {
        return Lowering::kUnchanged;
    }
    return lower(r, tokens, one, false);
}

}  // namespace ai_limit
