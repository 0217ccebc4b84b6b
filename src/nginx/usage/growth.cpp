#include "nginx/usage/growth.h"

#include "clock.h"
#include "nginx/request/request_body.h"
#include "nginx/sharing/charge_in_redis.h"
#include "nginx/sharing/redis_growth.h"
#include "nginx/values/policy_values.h"

namespace ai_limit {

namespace {

// Where a stream would be cut, Redis is asked so many tokens before a reservation is used up, so
// that it has answered by then, and again so many characters of text after it has refused.
constexpr Amount kAskAhead = kGrowthStep / 4;
constexpr uint64_t kAskAgain = kGrowthText / 16;

/** A policy's part in a request, while its answer is followed. */
struct Followed {
    const PolicyConf* policy;
    PolicyCharge* charge;
    Flight* flight;  // in Redis; nullptr if it is not there
    bool may_cut;

    Amount reserved_here() const {
        const FlightRecord* record = charge->reservation->flight;
        return record != nullptr ? record->amount : 0;
    }
    Amount reserved() const {
        const Amount here = reserved_here();
        return flight != nullptr ? ngx_max(flight->reserved, here) : here;
    }

    /** Returns how many tokens before a reservation is used up Redis is asked for more. */
    Amount ahead() const { return may_cut ? kAskAhead : 0; }
    uint64_t text_ahead() const { return ahead() * (kGrowthText / kGrowthStep); }

    /** A policy that has reserved nothing and lets answers go on follows none. Neither does one in
     * Redis that nobody decides on. */
    bool follows() const {
        const bool is_undecided = flight == nullptr && charge->use.decider == Decider::kElsewhere;
        return (policy->overrun == Overrun::kCut || reserved() != 0) && !is_undecided;
    }
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
            const Followed followed = {policy, charge, flight_of(*one, i),
                                       policy->overrun == Overrun::kCut && !is_dry_run};
            if (followed.follows()) {
                follow(followed);
            }
        }
    }
}

/** An answer that goes on, at the moment. */
struct Answer {
    TokenContext* tokens;
    uint64_t text;
    TokenCounts used;
    Now now;
};

/** Returns the input that was reserved for, as far as the body says it. */
Amount expected_input(ngx_http_request_t* r, const TokenContext& tokens) {
    return tokens.reserves_by_body ? tokens.reserved_input : estimated_prompt(r);
}

Answer look_at(ngx_http_request_t* r, TokenContext* tokens) {
    const uint64_t text = tokens->reader->text_characters();
    return {tokens, text, used_so_far(tokens->reader->reported(), text, expected_input(r, *tokens)),
            now_by_nginx()};
}

/** Lowers a bound to so many characters behind the answer's text. */
void lower(uint64_t* bound, const Answer& answer, uint64_t allowed) {
    if (allowed != kUnlimitedText) {
        *bound = ngx_min(*bound, answer.text + allowed);
    }
}

/** Reserves for so many more tokens, as this node's zone decides, if the reservation is used up.
 * Returns what is reserved then. */
Amount reserve_here(const Followed& followed, const Answer& answer, Amount step,
                    const TokenWeights& weights) {
    const Amount reserved = followed.reserved();
    if (text_allowed(reserved, answer.used, weights) != 0) {
        return reserved;
    }
    const Amount wanted = growth_wanted(reserved, answer.used, step, weights);
    return wanted != 0 ? reserved + grow_charge(followed.charge, wanted, false, answer.now)
                       : reserved;
}

/** True if Redis is to be asked for more; `allowed` is the text that it has reserved for. */
bool is_to_be_asked(const Followed& followed, const Answer& answer, uint64_t allowed) {
    const FlightGrowth& growing = followed.flight->growing;
    if (is_asked(*followed.flight) || allowed > followed.text_ahead()) {
        return false;
    }
    if (!growing.is_refused && !growing.is_unknown) {
        return true;
    }
    // A stream that is to be cut does not wait for another answer.
    const bool is_cut = growing.is_refused && followed.may_cut && allowed == 0;
    return answer.text >= growing.asked_at + kAskAgain && !is_cut;
}

void ask_redis(const Followed& followed, const Answer& answer, const TokenWeights& weights) {
    Flight* flight = followed.flight;
    const Amount wanted =
        growth_wanted(flight->reserved, answer.used, kGrowthStep + followed.ahead(), weights);
    flight->growing.asked_at = answer.text;
    if (wanted != 0) {
        ask_growth(flight, wanted, &answer.tokens->bounds.next);
    }
}

/** Reserves more as Redis decides. A stream that could be cut before Redis has answered goes on as
 * far as this node knows of room, and reserves no more than it has used. */
Amount reserve_in_redis(const Followed& followed, const Answer& answer,
                        const TokenWeights& weights) {
    Flight* flight = followed.flight;
    const Amount here = followed.reserved_here();
    if (here != 0 && flight->reserved > here) {
        grow_charge(followed.charge, flight->reserved - here, true, answer.now);
    }
    if (is_to_be_asked(followed, answer, text_allowed(flight->reserved, answer.used, weights))) {
        ask_redis(followed, answer, weights);
    }
    if (is_asked(*flight)) {
        return followed.may_cut ? reserve_here(followed, answer, 0, weights) : followed.reserved();
    }
    if (!flight->growing.is_unknown) {
        return followed.reserved();
    }
    switch (flight->redis->conf->on_failure) {
        case OnFailure::kLocal:
            return reserve_here(followed, answer, kGrowthStep, weights);
        case OnFailure::kAllow:
            return followed.reserved() +
                   growth_wanted(followed.reserved(), answer.used, kGrowthStep, weights);
        case OnFailure::kReject:
            break;
    }
    return followed.reserved();
}

/** Returns after how many of the characters that are allowed a policy looks again. */
uint64_t next_look(const Followed& followed, uint64_t allowed) {
    const Flight* flight = followed.flight;
    if (flight == nullptr || is_asked(*flight) || allowed == kUnlimitedText) {
        return allowed;
    }
    if (flight->growing.is_refused) {
        return ngx_min(allowed, kAskAgain);
    }
    const uint64_t ahead = followed.text_ahead();
    return allowed > ahead ? allowed - ahead : allowed;
}

/** Reserves more for an answer in one policy, and lowers the bounds to its own. */
GrowthResult grow_in(const Followed& followed, const Answer& answer, const TokenWeights& weights,
                     TextBounds* bounds) {
    const Amount reserved = followed.flight != nullptr
                                ? reserve_in_redis(followed, answer, weights)
                                : reserve_here(followed, answer, kGrowthStep, weights);
    const uint64_t allowed = text_allowed(reserved, answer.used, weights);
    if (allowed == 0 && growth_wanted(reserved, answer.used, 0, weights) != 0) {
        if (followed.may_cut) {
            lower(&bounds->cut, answer, 0);
        }
        return followed.may_cut ? GrowthResult::kCut : GrowthResult::kNoRoom;
    }
    lower(&bounds->next, answer, next_look(followed, allowed));
    if (followed.may_cut) {
        lower(&bounds->cut, answer, allowed);
    }
    return GrowthResult::kGrown;
}

}  // namespace

void begin_growth(ngx_http_request_t* r, TokenContext* tokens, bool is_from_model) {
    tokens->bounds = {kUnlimitedText, kUnlimitedText};
    if (!is_from_model) {
        return;
    }
    for_each(r, [r, tokens](const Followed& followed) {
        tokens->bounds.next = 0;  // with its first text, an answer may report what its input was
        if (followed.may_cut) {
            const Answer answer = look_at(r, tokens);
            const TokenWeights& weights =
                *read_weights(r, followed.policy, *followed.charge->use.limit);
            lower(&tokens->bounds.cut, answer,
                  text_allowed(followed.reserved(), answer.used, weights));
        }
    });
}

GrowthResult grow(ngx_http_request_t* r, TokenContext* tokens) {
    const Answer answer = look_at(r, tokens);
    TextBounds bounds = {answer.text + kGrowthText, kUnlimitedText};
    GrowthResult result = GrowthResult::kGrown;
    for_each(r, [r, tokens, &answer, &bounds, &result](const Followed& followed) {
        const TokenWeights& weights =
            *read_weights(r, followed.policy, *followed.charge->use.limit);
        if (weights.output == 0) {
            return;
        }
        const GrowthResult grown = grow_in(followed, answer, weights, &bounds);
        if (grown == GrowthResult::kCut) {
            tokens->used_up = followed.policy;
        }
        result = ngx_max(result, grown);
    });
    tokens->bounds = bounds;
    return result;
}

}  // namespace ai_limit
