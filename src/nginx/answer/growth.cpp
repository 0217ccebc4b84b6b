#include "nginx/answer/growth.h"

#include "clock.h"
#include "nginx/request/policy_values.h"
#include "nginx/request/request_body.h"

namespace ai_limit {

namespace {

/** A policy's part in a request, while its answer is followed. */
struct Followed {
    const PolicyConf* policy;
    PolicyCharge* charge;
    bool may_cut;

    Amount reserved() const {
        const FlightRecord* flight = charge->reservation->flight;
        return flight != nullptr ? flight->amount : 0;
    }

    /** A policy that has reserved nothing, and lets answers go on, reserves nothing. */
    bool is_followed() const { return policy->overrun == Overrun::kCut || reserved() != 0; }
};

/** Calls `follow` for each policy that follows the answer. */
template <typename Follow>
void for_each(ngx_http_request_t* r, const Follow& follow) {
    const RequestContext* context = find_context(r);
    Decision* one = context != nullptr ? context->latest : nullptr;
    for (; one != nullptr; one = one->earlier) {
        for (ngx_uint_t i = 0; i < one->count; ++i) {
            PolicyCharge* charge = &one->charges[i];
            if (!is_to_be_settled(*one, *charge)) {
                continue;
            }
            const PolicyConf* policy = one->parts[i].policy;
            const bool is_dry_run = charge->use.dry_run || one->dry_run;
            const Followed followed = {policy, charge,
                                       policy->overrun == Overrun::kCut && !is_dry_run};
            if (followed.is_followed()) {
                follow(followed);
            }
        }
    }
}

TokenCounts used_by_now(ngx_http_request_t* r, const TokenContext& tokens, uint64_t text) {
    return used_so_far(tokens.reader->reported(), text, estimated_prompt(r));
}

void lower(uint64_t* bound, uint64_t text, uint64_t allowed) {
    if (allowed != kUnlimitedText) {
        *bound = ngx_min(*bound, text + allowed);
    }
}

}  // namespace

void begin_growth(ngx_http_request_t* r, TokenContext* tokens, bool is_from_model) {
    tokens->bounds = {kUnlimitedText, kUnlimitedText};
    if (!is_from_model) {
        return;
    }
    const TokenCounts used = used_by_now(r, *tokens, 0);
    TextBounds* bounds = &tokens->bounds;
    for_each(r, [r, &used, bounds](const Followed& followed) {
        bounds->next = 0;  // with its first text, an answer may report what its input was
        if (followed.may_cut) {
            const TokenWeights& weights = *read_weights(r, followed.policy);
            lower(&bounds->cut, 0, text_allowed(followed.reserved(), used, weights));
        }
    });
}

GrowthResult grow(ngx_http_request_t* r, TokenContext* tokens) {
    const uint64_t text = tokens->reader->text_characters();
    const TokenCounts used = used_by_now(r, *tokens, text);
    const Now now = now_by_nginx();
    TextBounds bounds = {text + kGrowthText, kUnlimitedText};
    GrowthResult result = GrowthResult::kGrown;
    for_each(r, [&](const Followed& followed) {
        const TokenWeights& weights = *read_weights(r, followed.policy);
        Amount reserved = followed.reserved();
        uint64_t allowed = text_allowed(reserved, used, weights);
        if (allowed == 0) {
            const Amount wanted = growth_wanted(reserved, used, kGrowthStep, weights);
            reserved += grow_charge(followed.charge, wanted, false, now);
            allowed = text_allowed(reserved, used, weights);
        }
        const bool is_over = growth_wanted(reserved, used, 0, weights) != 0;
        if (is_over) {
            result = followed.may_cut ? GrowthResult::kCut : ngx_max(result, GrowthResult::kNoRoom);
        } else {
            lower(&bounds.next, text, allowed);
        }
        if (followed.may_cut) {
            lower(&bounds.cut, text, is_over ? 0 : allowed);
        }
    });
    tokens->bounds = bounds;
    return result;
}

}  // namespace ai_limit
