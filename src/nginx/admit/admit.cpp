// Collects the charges of a request's policies, decides on them as one, and refuses.

#include "nginx/admit/admit.h"

#include "clock.h"
#include "core/policies/overrides.h"
#include "nginx/admit/admit_with_body.h"
#include "nginx/admit/sharer_charge.h"
#include "nginx/admit/websocket.h"
#include "nginx/answer/body_filter.h"
#include "nginx/answer/header_filter.h"
#include "nginx/answer/refusal.h"
#include "nginx/decision/count_requests.h"
#include "nginx/decision/warning.h"
#include "nginx/sharing/node_decision.h"
#include "nginx/turns/turns.h"
#include "nginx/upstream/account_use.h"
#include "nginx/values/policy_values.h"

namespace ai_limit {

namespace {

bool contains(const PolicySet& set, const PolicyConf* policy) {
    for (ngx_uint_t i = 0; i < set.count; ++i) {
        if (set.policies[i] == policy) {
            return true;
        }
    }
    return false;
}

/**
 * True if a decision that refused spares the policy: one of the later phase; and if nothing was
 * decided, since the body cannot be read, one of the earlier phase as well.
 */
bool spares(const Decision& one, const PolicyConf* policy) {
    return contains(one.spared->access, policy) ||
           (one.count == 0 && contains(one.spared->preaccess, policy));
}

/** A key of a run of policies, and its hash in their zone. */
struct Key {
    ngx_str_t text;
    uint64_t hash;
};

inline __attribute__((always_inline)) ngx_int_t find_key(ngx_http_request_t* r,
                                                         const PolicyConf* policy, Key* key) {
    if (evaluate(r, &policy->key, &key->text) != NGX_OK) {
        return NGX_ERROR;
    }
    const Journal& journal = policy->live->ask.access->journal;
    if (key->text.len != 0 && journal.is_open()) {
        key->hash = hash_key(journal.zone(), view(key->text));
    }
    return NGX_OK;
}

/** Adds a policy's charge to a decision. */
inline PolicyCharge* add_charge(ngx_http_request_t* r, Decision* one, const Ask& ask,
                                const Key& key, const PolicyConf* policy) {
    ngx_uint_t i = one->count++;
    begin_charge(&one->charges[i], ask, key.hash);
    one->parts[i] = {policy, key.text, {}};
    read_label(r, &one->parts[i]);
    return &one->charges[i];
}

/** Begins a reservation or a ledger of a charge. */
inline Charge* begin_more(Decision* one, const Ask& ask, uint64_t hash) {
    begin_charge(one->more, ask, hash);
    return one->more++;
}

/** True if the policy's reservation does not depend on the request's body. */
bool has_fixed_reserve(const PolicyConf& policy) {
    return policy.reserve == Reserve::kOff || policy.reserve == Reserve::kAmount;
}

/** Adds a policy's charges to `look`, as if nothing were reserved. Leaves out policies in Redis:
 * this node does not know what other nodes give back, so only Redis refuses by these. */
ngx_int_t add_look(ngx_http_request_t* r, const PolicyConf* policy, Ask ask, const Key& key,
                   Decision* look) {
    if (look == nullptr || policy->in_redis) {
        return NGX_OK;
    }
    Ask reserved = policy->live->reservation;
    reserved.cost = 0;
    ask.cost = 0;
    PolicyCharge* charge = add_charge(r, look, ask, key, policy);
    charge->reservation = begin_more(look, reserved, key.hash);
    return add_sharer(r, *policy, view(key.text), charge);
}

/**
 * Adds the charges of a policy that may have been evaluated before, has variables or reserves
 * something, if it applies to this request. NGX_AGAIN if that takes the request's body, which is
 * awaited.
 */
__attribute__((noinline)) ngx_int_t add_unusual_charges(ngx_http_request_t* r,
                                                        const PolicyConf* policy, const Key& key,
                                                        const Awaiting* awaiting, Decision* one) {
    if (!policy->live->usable || was_decided(r, one->earlier, policy)) {
        return NGX_OK;
    }
    Ask ask = policy->live->ask;
    ngx_int_t rc = read_values(r, policy, view(key.text), key.hash, &ask);
    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }
    bool reserves = is_settled(ask.limit->measure);
    if (reserves && awaiting != nullptr && !has_fixed_reserve(*policy)) {
        return add_look(r, policy, ask, key, awaiting->look) == NGX_OK ? NGX_AGAIN : NGX_ERROR;
    }
    if (reserves && read_reservation(r, policy, key.hash, *ask.limit, &ask.cost) != NGX_OK) {
        return NGX_ERROR;
    }
    PolicyCharge* charge = add_charge(r, one, ask, key, policy);
    if (reserves) {
        Ask reserved = policy->live->reservation;
        reserved.cost = ask.cost;
        charge->reservation = begin_more(one, reserved, key.hash);
    }
    if (add_sharer(r, *policy, view(key.text), charge) != NGX_OK) {
        return NGX_ERROR;
    }
    if (policy->syncs &&
        (passes_by_share(*policy, ask) || may_have_been_alone(r, ask.access->journal.zone()))) {
        charge->ledger = begin_more(one, policy->live->ledger, key.hash);
    }
    return NGX_OK;
}

/** Adds the charges of the plain policies at the front of a run; returns where they end. */
inline const PolicyConf* const* add_plain_charges(const PolicyConf* const* policy,
                                                  const PolicyConf* const* end, Key key,
                                                  Decision* one) {
    const PolicyConf* const* first = policy;
    PolicyCharge* charge = one->charges + one->count;
    Part* part = one->parts + one->count;
    for (; policy != end && (*policy)->live->plain; ++policy) {
        begin_charge(charge++, (*policy)->live->ask, key.hash);
        part->policy = *policy;
        part++->key = key.text;
    }
    one->count += static_cast<ngx_uint_t>(policy - first);
    return policy;
}

/** Adds the charges of a run's policies from the first that is not plain on. */
__attribute__((noinline)) ngx_int_t add_other_charges(ngx_http_request_t* r,
                                                      const PolicyConf* const* policy,
                                                      const PolicyConf* const* end, const Key& key,
                                                      Decision* one) {
    for (; policy != end; ++policy) {
        if (add_unusual_charges(r, *policy, key, nullptr, one) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    return NGX_OK;
}

inline bool may_be_overridden(const PolicyConf& policy) {
    return policy.live->usable && has_overrides(policy.live->ask.access->journal.zone());
}

/** Adds the charges of one key's policies that apply and were not evaluated before. */
inline __attribute__((always_inline)) ngx_int_t collect_run(ngx_http_request_t* r,
                                                            const PolicyConf* const* policy,
                                                            const PolicyConf* const* end,
                                                            const Key& key, Decision* one) {
    if (key.text.len == 0) {
        return NGX_OK;
    }
    if (one->earlier == nullptr && !may_be_overridden(**policy)) {
        policy = add_plain_charges(policy, end, key, one);
    }
    return policy == end ? NGX_OK : add_other_charges(r, policy, end, key, one);
}

ngx_int_t collect_all_runs(ngx_http_request_t* r, const PolicySet& set, Decision* one) {
    Key keys[kMaxSetPolicies];
    const PolicyConf* const* policy = set.policies;
    for (ngx_uint_t i = 0; i < set.run_count; ++i) {
        const KeyRun& run = set.runs[i];
        if (run.key == i && find_key(r, *policy, &keys[i]) != NGX_OK) {
            return NGX_ERROR;
        }
        const PolicyConf* const* end = policy + run.count;
        if (collect_run(r, policy, end, keys[run.key], one) != NGX_OK) {
            return NGX_ERROR;
        }
        policy = end;
    }
    return NGX_OK;
}

inline __attribute__((always_inline)) ngx_int_t collect(ngx_http_request_t* r, const PolicySet& set,
                                                        Decision* one) {
    if (set.run_count != 1) {
        return collect_all_runs(r, set, one);
    }
    Key key;
    const PolicyConf* const* policies = set.policies;
    return find_key(r, *policies, &key) == NGX_OK
               ? collect_run(r, policies, policies + set.count, key, one)
               : NGX_ERROR;
}

ngx_int_t refuse_or_pass(ngx_http_request_t* r, RequestContext* context, const LocConf& conf,
                         Decision* one) {
    if (one->refused && !one->dry_run) {
        one->spared = conf.list;
        forget_sent(*context);
        return refuse(r, context);
    }
    if (would_refuse(*one)) {
        log_dry_run(r, context);
    }
    return NGX_DECLINED;
}

/** Notes a decision that refused, or that has a policy on a dry run or with warn=. */
__attribute__((noinline)) ngx_int_t conclude_unusual(ngx_http_request_t* r, RequestContext* context,
                                                     const LocConf& conf, const PolicySet& set,
                                                     Decision* one) {
    if (set.warns && !one->refused) {
        warn_of_passed(r, *one);
    }
    if (one->refused || one->dry_run || set.dry_run) {
        count_results(*one);
        return refuse_or_pass(r, context, conf, one);
    }
    count_passed(*one);
    return NGX_DECLINED;
}

/** Notes what was decided. */
inline __attribute__((always_inline)) ngx_int_t conclude(ngx_http_request_t* r,
                                                         RequestContext* context,
                                                         const LocConf& conf, const PolicySet& set,
                                                         Decision* one, bool passes) {
    one->refused = !passes;
    context->latest = one;
    context->in_flight |= set.concurrency;
    context->refusal_status = 0;
    if (one->refused || one->dry_run || set.is_unusual) {
        return conclude_unusual(r, context, conf, set, one);
    }
    count_passed(*one);
    return NGX_DECLINED;
}

/** Makes a decision and collects its charges. NGX_DECLINED if no policy applies. */
inline __attribute__((always_inline)) ngx_int_t begin_decision(ngx_http_request_t* r,
                                                               const LocConf& conf,
                                                               const PolicySet& set,
                                                               RequestContext** context,
                                                               Decision** place) {
    *context = find_context(r);
    Decision* one = *context != nullptr ? add_decision(r, *context, set.count)
                                        : make_context(r, set.count, context);
    if (one == nullptr || collect(r, set, one) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (one->count == 0) {
        return NGX_DECLINED;
    }
    one->now = now_by_nginx();
    one->dry_run = conf.dry_run;
    *place = one;
    return NGX_OK;
}

/** Evaluates a set whose requests may wait for their turn. */
__attribute__((noinline)) ngx_int_t evaluate_in_turn(ngx_http_request_t* r, const LocConf& conf,
                                                     const PolicySet& set) {
    RequestContext* context = find_context(r);
    Decision* one = waiting_decision(r, set);
    ngx_int_t rc = one == nullptr ? begin_decision(r, conf, set, &context, &one) : NGX_OK;
    if (rc != NGX_OK) {
        return rc;
    }
    bool passes = false;
    rc = decide_in_turn(r, set, one, &passes);
    if (rc == NGX_OK && !passes) {
        rc = begin_wait(r, set, one);
    }
    return rc == NGX_OK ? conclude(r, context, conf, set, one, passes) : rc;
}

__attribute__((hot)) ngx_int_t evaluate_set(ngx_http_request_t* r, const LocConf& conf,
                                            const PolicySet& set) {
    if (set.may_wait || may_change_body(conf, set)) {
        return evaluate_with_body(r, conf, set);
    }
    if (set.turns) {
        return evaluate_in_turn(r, conf, set);
    }
    RequestContext* context = nullptr;
    Decision* one = nullptr;
    const ngx_int_t rc = begin_decision(r, conf, set, &context, &one);
    if (rc != NGX_OK) {
        return rc;
    }
    const bool passes = set.sharers ? admit_step_by_step(one->charges, one->count, one->now)
                                    : admit(one->charges, one->count, one->now);
    return conclude(r, context, conf, set, one, passes);
}

/** Subrequests are their main request's own affair, and what nginx does afterwards (post_action) is
 * not the client's. */
bool is_of_client(ngx_http_request_t* r) {
    return r == r->main && !r->post_action;
}

/** After a redirect, such as that of error_page, the answer that led here says something as well.
 */
void hear_before_redirect(ngx_http_request_t* r) {
    const RequestContext* context = is_of_client(r) ? find_context(r) : nullptr;
    if (context != nullptr && context->accounts != nullptr) {
        end_answer(r, *context);
    }
}

/** NGX_DECLINED lets nginx go on; under `satisfy any`, NGX_OK would let everybody in. */
inline __attribute__((always_inline)) ngx_int_t decide_in_preaccess(ngx_http_request_t* r) {
    const LocConf* conf = loc_conf(r);
    if (refuses_every_upgrade(r, *conf) && is_of_client(r) && takes_out_websocket(r)) {
        return refuse_any_websocket(r, *conf);
    }
    if (conf->list == nullptr || conf->list->preaccess.count == 0 || !is_of_client(r)) {
        return NGX_DECLINED;
    }
    return evaluate_set(r, *conf, conf->list->preaccess);
}

inline __attribute__((always_inline)) ngx_int_t decide_in_access(ngx_http_request_t* r) {
    const LocConf* conf = loc_conf(r);
    if (refuses_every_upgrade(r, *conf) && is_of_client(r) && takes_out_websocket(r)) {
        return refuse_any_websocket(r, *conf);
    }
    if (conf->list == nullptr || !is_of_client(r)) {
        return NGX_DECLINED;
    }
    if (conf->list->access.count == 0 && !may_change_body(*conf, conf->list->access)) {
        return NGX_DECLINED;
    }
    return evaluate_set(r, *conf, conf->list->access);
}

__attribute__((hot)) ngx_int_t preaccess_handler(ngx_http_request_t* r) noexcept {
    return decide_in_preaccess(r);
}

__attribute__((hot)) ngx_int_t access_handler(ngx_http_request_t* r) noexcept {
    return decide_in_access(r);
}

/** The same where policies have rate=upstream. */
ngx_int_t preaccess_handler_of_accounts(ngx_http_request_t* r) noexcept {
    if (r->internal) {
        hear_before_redirect(r);
    }
    return decide_in_preaccess(r);
}

ngx_int_t access_handler_of_accounts(ngx_http_request_t* r) noexcept {
    if (r->internal) {
        hear_before_redirect(r);
    }
    return decide_in_access(r);
}

/** The handler that nginx runs last in a phase: it runs them in reverse order. */
ngx_int_t add_last(ngx_array_t* handlers, ngx_http_handler_pt handler) {
    if (ngx_array_push(handlers) == nullptr) {
        return NGX_ERROR;
    }
    ngx_http_handler_pt* first = static_cast<ngx_http_handler_pt*>(handlers->elts);
    ngx_memmove(first + 1, first, (handlers->nelts - 1) * sizeof(*first));
    *first = handler;
    return NGX_OK;
}

}  // namespace

bool was_decided(ngx_http_request_t* r, const Decision* latest, const PolicyConf* policy) {
    for (const Decision* one = latest; one != nullptr; one = one->earlier) {
        if (r->content_handler != nullptr && is_refused_unasked(*one)) {
            continue;
        }
        if ((one->spared != nullptr && spares(*one, policy)) || took_part(*one, policy)) {
            return true;
        }
    }
    return false;
}

ngx_int_t collect_with_body(ngx_http_request_t* r, const PolicySet& set, const Awaiting* awaiting,
                            uint32_t* later, Decision* one) {
    uint32_t wanted = awaiting != nullptr ? ~uint32_t{0} : *later;
    *later = 0;
    ngx_uint_t i = 0;
    for (ngx_uint_t run = 0; run < set.run_count; ++run) {
        Key key;
        bool has_key = false;
        for (ngx_uint_t end = i + set.runs[run].count; i < end; ++i) {
            const PolicyConf* policy = set.policies[i];
            uint32_t bit = uint32_t{1} << i;
            if (!(wanted & bit)) {
                continue;
            }
            if (awaiting != nullptr && policy->after_body) {
                *later |= bit;
                continue;
            }
            if (!has_key && find_key(r, policy, &key) != NGX_OK) {
                return NGX_ERROR;
            }
            has_key = true;
            ngx_int_t rc =
                key.text.len == 0 ? NGX_OK : add_unusual_charges(r, policy, key, awaiting, one);
            if (rc == NGX_ERROR) {
                return NGX_ERROR;
            }
            *later |= rc == NGX_AGAIN ? bit : 0;
        }
    }
    return NGX_OK;
}

ngx_int_t conclude_with_body(ngx_http_request_t* r, const LocConf& conf, const PolicySet& set,
                             Decision* one, bool passes) {
    RequestContext* context = find_context(r);
    if (passes && set.upstreams) {
        note_sent(r, context, *one);
    }
    return conclude(r, context, conf, set, one, passes);
}

ngx_int_t add_phase_handlers(ngx_conf_t* cf) {
    MainConf* main =
        static_cast<MainConf*>(ngx_http_conf_get_module_main_conf(cf, ngx_http_ai_limit_module));
    ngx_http_core_main_conf_t* core = static_cast<ngx_http_core_main_conf_t*>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module));

    // Behind realip, which may set the address only here.
    if (main->preaccess &&
        add_last(&core->phases[NGX_HTTP_PREACCESS_PHASE].handlers,
                 main->upstreams ? preaccess_handler_of_accounts : preaccess_handler) != NGX_OK) {
        return NGX_ERROR;
    }
    // `phase=access` means that access was granted. Handlers of the access phase itself are left
    // out once `satisfy any` has let somebody in, and run before the refusal if it has not. This
    // one therefore stands at the front of the next phase, before mirror and try_files.
    if (main->access) {
        ngx_http_handler_pt* handler = static_cast<ngx_http_handler_pt*>(
            ngx_array_push(&core->phases[NGX_HTTP_PRECONTENT_PHASE].handlers));
        if (handler == nullptr) {
            return NGX_ERROR;
        }
        *handler = main->upstreams ? access_handler_of_accounts : access_handler;
    }
    // Always: should this configuration fail later, workers of the one before still need the
    // filters.
    add_header_filter();
    add_body_filter();
    return NGX_OK;
}

}  // namespace ai_limit
