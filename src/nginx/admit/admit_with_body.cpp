#include "nginx/admit/admit_with_body.h"

#include "clock.h"
#include "core/counts/output_room.h"
#include "nginx/admit/admit.h"
#include "nginx/admit/remaining_output.h"
#include "nginx/admit/unpriced.h"
#include "nginx/admit/websocket.h"
#include "nginx/answer/answer.h"
#include "nginx/answer/refusal.h"
#include "nginx/body/accepted_codings.h"
#include "nginx/decision/count_requests.h"
#include "nginx/request/hidden_usage.h"
#include "nginx/request/max_output.h"
#include "nginx/request/request_body.h"
#include "nginx/turns/decide_now.h"
#include "nginx/turns/queue_in_redis.h"
#include "nginx/turns/turns.h"
#include "nginx/values/policy_values.h"
#include "nginx/waiting/waiting.h"

namespace ai_limit {

namespace {

bool has_tokens(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (one.charges[i].reservation != nullptr) {
            return true;
        }
    }
    return false;
}

/** True for a policy that limits by what answers use, and is not on a dry run. */
bool limits_usage(const PolicyConf&, const PolicyCharge& charge) {
    return charge.reservation != nullptr && !charge.use.dry_run;
}

/** True if some policy does so, and the location is not on a dry run. */
bool has_one_on_usage(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (!one.dry_run && limits_usage(*one.parts[i].policy, one.charges[i])) {
            return true;
        }
    }
    return false;
}

/** Returns the most tokens that a policy has reserved; of money, the output that it buys. */
Amount most_reserved(ngx_http_request_t* r, const Decision& one) {
    Amount most = 0;
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const Charge* reservation = one.charges[i].reservation;
        if (reservation != nullptr && reservation->flight != nullptr) {
            const Limit& limit = *one.charges[i].use.limit;
            Amount amount = reservation->cost;
            if (limit.measure == Measure::kMoney) {
                const TokenWeights& prices = *read_weights(r, one.parts[i].policy, limit);
                amount = prices.output != 0 ? output_room(amount, prices) : 0;
            }
            most = ngx_max(most, amount);
        }
    }
    return most;
}

/** True if the request's path says that its body is wanted for ai_limit_include_usage. */
bool is_for_completions(ngx_http_request_t* r) {
    const RequestInfo* info = read_request_info(r);
    return info == nullptr || info->is_for_completions();
}

/** Notes that the phase goes on with this decision, if it does not go on now. */
ngx_int_t put_off(ngx_http_request_t* r, const PolicySet& set, Decision* one, ngx_int_t rc) {
    TokenContext* tokens = find_token_context(r);
    if (rc == NGX_AGAIN) {
        tokens->pending = one;
        tokens->pending_set = &set;
    }
    return rc;
}

/** Decides on all charges; NGX_AGAIN while Redis is asked. */
ngx_int_t decide(ngx_http_request_t* r, const PolicySet& set, Decision* one, bool* passes) {
    if (find_token_context(r)->asked == nullptr) {
        one->now = now_by_nginx();
    }
    return put_off(
        r, set, one,
        set.turns ? decide_in_turn(r, set, one, passes) : decide_now(r, set, one, nullptr, passes));
}

bool may_want_body(const PolicySet& set) {
    for (ngx_uint_t i = 0; i < set.count; ++i) {
        if (set.policies[i]->may_count_tokens || set.policies[i]->after_body) {
            return true;
        }
    }
    return false;
}

/** True if the output of a request may be limited before the set's decision. */
bool may_limit_output(const LocConf& conf, const PolicySet& set) {
    return conf.max_output != nullptr && (&set == &conf.list->access || may_want_body(set));
}

bool wants_body(const PolicyConf& policy, const PolicyCharge& charge) {
    return charge.reservation != nullptr || policy.after_body;
}

/**
 * True if some policy that may refuse counts by the body, be it that it has no key only because the
 * body names none.
 */
bool must_read_body(ngx_http_request_t* r, const PolicySet& set, const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const PolicyConf* policy = one.parts[i].policy;
        if (!policy->dry_run && wants_body(*policy, one.charges[i])) {
            return true;
        }
    }
    for (ngx_uint_t i = 0; i < set.count; ++i) {
        const PolicyConf* policy = set.policies[i];
        if (policy->after_body && !policy->dry_run && !was_decided(r, one.earlier, policy)) {
            return true;
        }
    }
    return false;
}

bool rejects_unreadable(const LocConf& conf) {
    return conf.unreadable_body == ngx_uint_t(UnreadableBody::kReject);
}

/** Why a request cannot be counted, and how the log says so; both empty if it can be. */
struct Uncounted {
    const char* what;
    std::string_view why;
};

Uncounted find_uncounted(ngx_http_request_t* r, const LocConf& conf, const PolicySet& set,
                         const Decision& one) {
    if (rejects_unreadable(conf) && (may_limit_output(conf, set) || must_read_body(r, set, one))) {
        const RequestInfo* info = read_request_info(r);
        if (info != nullptr && info->unreadable()) {
            return {"whose body cannot be read", info->why_unreadable()};
        }
        // Otherwise a client could choose that its streams are only estimated.
        if (conf.include_usage && info != nullptr && !info->why_usage_is_left_out().empty()) {
            return {"for a stream without its usage", info->why_usage_is_left_out()};
        }
    }
    if (has_one_on_usage(one) && hides_usage(r)) {
        return {"that leaves the usage out of its answer", kHiddenUsage};
    }
    return {nullptr, {}};
}

/**
 * Notes that a request is refused before anything is decided: no policy knows what it is about.
 * `refuses` says which policies count it.
 */
template <typename Refuses>
void note_undecided(ngx_http_request_t* r, ngx_uint_t status, Decision* one,
                    const Refuses& refuses) {
    one->now = now_by_nginx();
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        const PolicyConf* policy = one->parts[i].policy;
        PolicyCharge* charge = &one->charges[i];
        charge->use.verdict = refuses(*policy, *charge) ? Verdict::kRefused : Verdict::kPassed;
    }
    count_undecided(*one);
    note_refused_undecided(r, status, one);
}

ngx_int_t refuse_unread(ngx_http_request_t* r, const LocConf& conf, const Uncounted& uncounted,
                        Decision* one) {
    one->spared = conf.list;
    note_undecided(r, NGX_HTTP_BAD_REQUEST, one, wants_body);
    drop_output_limit(find_token_context(r));
    return refuse_uncounted(r, NGX_HTTP_BAD_REQUEST, uncounted.what, uncounted.why);
}

/** Refuses a request whose output should be limited, and whose body cannot be changed so. */
ngx_int_t refuse_unlimited(ngx_http_request_t* r, const LocConf& conf, Decision* one) {
    const TokenContext* tokens = find_token_context(r);
    return refuse_unread(
        r, conf, {"whose output cannot be limited", tokens->output->limits.why_fixed()}, one);
}

/** Limits the output to the number of ai_limit_max_output; false if the body cannot be changed. */
bool limit_to_number(const LocConf& conf, const PolicySet& set, TokenContext* tokens) {
    return !may_limit_output(conf, set) || conf.max_output->number == 0 ||
           limit_output(tokens, conf.max_output->number);
}

/**
 * Decides. If `ai_limit_max_output remaining` says so, first lowers the output to what remains; if
 * others were faster, or Redis says that less remains, lowers it once more. NGX_DECLINED if the
 * body cannot be changed so.
 */
ngx_int_t decide_on_output(ngx_http_request_t* r, const LocConf& conf, const PolicySet& set,
                           Decision* one, bool* passes) {
    TokenContext* tokens = find_token_context(r);
    // One that has waited for its turn was charged, or refused, as it had been lowered before.
    if (!limits_to_remaining(conf, *one, *tokens) || waiting_decision(r, set) == one) {
        return decide(r, set, one, passes);
    }
    Lowering lowering =
        tokens->asked == nullptr ? lower_at_first(r, tokens, one) : Lowering::kUnchanged;
    for (;;) {
        if (lowering == Lowering::kFailed) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
        if (lowering == Lowering::kImpossible && rejects_unreadable(conf)) {
            leave_in_redis(r, *one, one->count);
            return NGX_DECLINED;
        }
        ngx_int_t rc = decide(r, set, one, passes);
        if (rc != NGX_OK || *passes) {
            return rc;
        }
        lowering = lower_again(r, tokens, one);
        if (lowering == Lowering::kUnchanged) {
            return NGX_OK;
        }
    }
}

/** Spares no policy: where error_page leads to an upstream, the same request goes on over HTTP. */
ngx_int_t refuse_uncounted_websocket(ngx_http_request_t* r, Decision* one) {
    note_undecided(r, kUpgradeRequired, one, limits_usage);
    return refuse_websocket(r);
}

/** Decides, when all is known that will be. */
ngx_int_t decide_with_body(ngx_http_request_t* r, const LocConf& conf, const PolicySet& set,
                           Decision* one) {
    RequestContext* context = find_context(r);
    TokenContext* tokens = context->tokens;
    if (refuses_uncounted_upgrade(r, conf) && has_one_on_usage(*one) && takes_out_websocket(r)) {
        return refuse_uncounted_websocket(r, one);
    }
    bool asks = includes_usage(conf, set);
    if ((has_tokens(*one) || asks) &&
        (read_request_info(r) == nullptr || settle_at_end(r, tokens) != NGX_OK)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_int_t rc = NGX_DECLINED;
    if (one->count != 0) {
        bool passes = false;
        if (!is_unpriced(*one)) {
            rc = decide_on_output(r, conf, set, one, &passes);
            if (rc == NGX_OK && !passes) {
                rc = put_off(r, set, one, begin_wait(r, set, one));
            }
            if (rc != NGX_OK) {
                return rc == NGX_DECLINED ? refuse_unlimited(r, conf, one) : rc;
            }
        }
        tokens->reserved = ngx_max(tokens->reserved, most_reserved(r, *one));
        if (passes || one->dry_run) {
            keep_output_limit(tokens);
            if (is_output_lowered(*tokens)) {
                count_lowered_output(*one);
            }
        } else {
            drop_output_limit(tokens);
        }
        rc = conclude_with_body(r, conf, set, one, passes);
    }
    if (rc != NGX_DECLINED) {
        return rc;
    }
    if (has_tokens(*one)) {
        want_whole_answer(r);
    }
    if ((has_tokens(*one) && limit_accepted_codings(r, AcceptedCodings::kReadable) != NGX_OK) ||
        (may_change_body(conf, set) && change_body(r, tokens, asks) != NGX_OK)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return NGX_DECLINED;
}

/** Refuses a request, whose body has been read, that its policies cannot count, or lets those in
 * money refuse it; NGX_DECLINED if all are to decide. `is_limited`: its output is, as it must be.
 */
ngx_int_t refuse_unasked(ngx_http_request_t* r, const LocConf& conf, const PolicySet& set,
                         bool is_limited, Decision* one) {
    if (!one->dry_run) {
        const Uncounted uncounted = find_uncounted(r, conf, set, *one);
        if (uncounted.what != nullptr) {
            return refuse_unread(r, conf, uncounted, one);
        }
        if (!is_limited && rejects_unreadable(conf)) {
            return refuse_unlimited(r, conf, one);
        }
    }
    return refuse_unpriced(r, conf, set, one) == NGX_OK ? NGX_DECLINED
                                                        : NGX_HTTP_INTERNAL_SERVER_ERROR;
}

/** True if nobody waits for the body: then there is nothing to be saved by refusing early. */
bool has_arrived(ngx_http_request_t* r) {
    return r->headers_in.content_length_n > 0 && r->header_in != nullptr &&
           r->header_in->last - r->header_in->pos >= r->headers_in.content_length_n;
}

/** Refuses what no body can help, so that it need not be sent; NGX_DECLINED if one may. */
ngx_int_t refuse_early(ngx_http_request_t* r, const LocConf& conf, const PolicySet& set,
                       Decision* one) {
    if (one == nullptr || one->count == 0 || conf.dry_run || set.turns) {
        return NGX_DECLINED;
    }
    one->now = now_by_nginx();
    one->dry_run = false;
    return would_admit(one->charges, one->count, one->now)
               ? NGX_DECLINED
               : conclude_with_body(r, conf, set, one, false);
}

}  // namespace

__attribute__((noinline)) ngx_int_t evaluate_with_body(ngx_http_request_t* r, const LocConf& conf,
                                                       const PolicySet& set) {
    TokenContext* tokens = token_context(r);
    if (tokens == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    RequestContext* context = find_context(r);
    bool waits = awaits_body(r);
    // While it waited, an error may have led elsewhere.
    Decision* one = tokens->pending_set == &set ? tokens->pending : nullptr;
    tokens->pending = nullptr;
    if (one != nullptr && (tokens->asked != nullptr || waiting_decision(r, set) == one)) {
        return decide_with_body(r, conf, set, one);  // all was collected before it waited
    }
    if (!waits && (one != nullptr || may_want_body(set) || may_change_body(conf, set))) {
        ngx_int_t rc = read_request_info_in_turns(r);
        if (rc != NGX_OK) {
            tokens->pending = one;
            return rc == NGX_AGAIN ? rc : NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    if (one == nullptr) {
        tokens->later = ~uint32_t{0};
        one = add_decision(r, context, set.count,
                           (main_conf(r)->redis != nullptr ? 2 : 1) * set.count);
    }
    const bool is_limited = waits || limit_to_number(conf, set, tokens);
    Awaiting awaiting{};
    if (waits && !has_arrived(r)) {
        awaiting.look = add_decision(r, context, set.count, set.count);
    }
    const Awaiting* put_off = waits ? &awaiting : nullptr;
    if (one == nullptr || collect_with_body(r, set, put_off, &tokens->later, one) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    one->dry_run = conf.dry_run;
    bool needs_body = tokens->later != 0 || has_tokens(*one) || may_limit_output(conf, set) ||
                      (includes_usage(conf, set) && is_for_completions(r));
    if (!waits) {
        ngx_int_t rc = refuse_unasked(r, conf, set, is_limited, one);
        if (rc != NGX_DECLINED) {
            return rc;
        }
    }
    if (!waits || !needs_body) {
        return decide_with_body(r, conf, set, one);
    }
    for (Decision* early : {one, awaiting.look}) {
        ngx_int_t rc = refuse_early(r, conf, set, early);
        if (rc != NGX_DECLINED) {
            return rc;
        }
    }
    tokens->pending = one;
    tokens->pending_set = &set;
    return wait_for_body(r);
}

}  // namespace ai_limit
