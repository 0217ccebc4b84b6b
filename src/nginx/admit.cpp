// Collects the charges of a request's policies, decides on them as one, and refuses.

#include "nginx/admit.h"

#include "core/overrides.h"
#include "nginx/accepted_codings.h"
#include "nginx/answer.h"
#include "nginx/body_filter.h"
#include "nginx/count_requests.h"
#include "nginx/header_filter.h"
#include "nginx/hidden_usage.h"
#include "nginx/policy_values.h"
#include "nginx/refusal.h"
#include "nginx/request_body.h"
#include "nginx/shared_decision.h"
#include "nginx/shared_zone.h"
#include "nginx/usage_request.h"
#include "nginx/websocket.h"

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

/** Also true of those that a refusal before their phase has spared: error_page shall not charge
 * them. */
bool was_evaluated(const Evaluation* latest, const PolicyConf* policy) {
    for (const Evaluation* one = latest; one != nullptr; one = one->earlier) {
        if (one->spared != nullptr && contains(*one->spared, policy)) {
            return true;
        }
    }
    return find_charge(latest, policy) != nullptr;
}

/** A key of a run of policies, and its hash in their zone. */
struct Key {
    ngx_str_t text;
    uint64_t hash;
};

inline __attribute__((always_inline)) ngx_int_t find_key(ngx_http_request_t* r, PolicyConf* policy,
                                                         Key* key) {
    if (evaluate(r, &policy->key, &key->text) != NGX_OK) {
        return NGX_ERROR;
    }
    const Journal& journal = policy->ask.access->journal;
    if (key->text.len != 0 && journal.is_open()) {
        key->hash = hash_key(journal.zone(), view(key->text));
    }
    return NGX_OK;
}

/** Adds a charge to a decision; `policy` is what speaks for it. */
inline void add_charge(Evaluation* one, const Ask& ask, const Key& key, PolicyConf* policy) {
    ngx_uint_t i = one->count++;
    begin_charge(&one->charges[i], ask, key.hash);
    one->parts[i] = {policy, key.text};
}

/** Whether the request's body has no part in what the policy holds for it. */
bool has_fixed_reserve(const PolicyConf& policy) {
    return policy.reserve == Reserve::kOff || policy.reserve == Reserve::kAmount;
}

/** Whether nobody waits for the body: then there is nothing to be saved by refusing early. */
bool has_arrived(ngx_http_request_t* r) {
    return r->headers_in.content_length_n > 0 && r->header_in != nullptr &&
           r->header_in->last - r->header_in->pos >= r->headers_in.content_length_n;
}

/** Where charges that depend on a body go while it is awaited. */
struct Awaiting {
    /** Charges as if nothing were to be reserved, which are refused where nothing is left. nullptr:
     * nobody looks at that. */
    Evaluation* look;
};

/** What other nodes give back is not known here, so only Redis refuses by a shared policy. */
void add_look(PolicyConf* policy, Ask ask, const Key& key, Evaluation* look) {
    if (look == nullptr || policy->shared) {
        return;
    }
    Ask hold = policy->hold;
    hold.cost = 0;
    ask.cost = 0;
    ask.settled_later = true;
    add_charge(look, hold, key, nullptr);
    add_charge(look, ask, key, policy);
}

/**
 * Adds the charges of a policy that may have been evaluated before, has variables or counts tokens,
 * if it applies to this request. NGX_AGAIN where that takes the request's body, which is awaited.
 */
__attribute__((noinline)) ngx_int_t add_unusual_charges(ngx_http_request_t* r, PolicyConf* policy,
                                                        const Key& key, const Awaiting* awaiting,
                                                        Evaluation* one) {
    if (!policy->usable || was_evaluated(one->earlier, policy)) {
        return NGX_OK;
    }
    Ask ask = policy->ask;
    ngx_int_t rc = read_values(r, policy, &ask);
    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }
    if (read_override(r, key.hash, &ask) != NGX_OK) {
        return NGX_ERROR;
    }
    bool tokens = ask.limit->measure == Measure::kTokens;
    if (tokens && awaiting != nullptr && !has_fixed_reserve(*policy)) {
        add_look(policy, ask, key, awaiting->look);
        return NGX_AGAIN;
    }
    ask.has_ledger = policy->tells && (passes_by_share(*policy, ask) ||
                                       may_have_been_alone(r, ask.access->journal.zone()));
    if (ask.has_ledger) {
        add_charge(one, policy->ledger, key, nullptr);
    }
    if (!tokens) {
        add_charge(one, ask, key, policy);
        return NGX_OK;
    }
    Ask hold = policy->hold;
    ask.settled_later = true;
    if (read_reservation(r, policy, *ask.limit, &ask.cost) != NGX_OK) {
        return NGX_ERROR;
    }
    hold.cost = ask.cost;
    add_charge(one, hold, key, nullptr);
    add_charge(one, ask, key, policy);
    return NGX_OK;
}

/** Adds the charges of the plain policies at the front of a run; returns where they end. */
inline PolicyConf* const* add_plain_charges(PolicyConf* const* policy, PolicyConf* const* end,
                                            Key key, Evaluation* one) {
    PolicyConf* const* first = policy;
    Charge* charge = one->charges + one->count;
    Part* part = one->parts + one->count;
    for (; policy != end && (*policy)->plain; ++policy) {
        begin_charge(charge++, (*policy)->ask, key.hash);
        *part++ = {*policy, key.text};
    }
    one->count += static_cast<ngx_uint_t>(policy - first);
    return policy;
}

/** Adds the charges of a run's policies from the first that is not plain on. */
__attribute__((noinline)) ngx_int_t add_other_charges(ngx_http_request_t* r,
                                                      PolicyConf* const* policy,
                                                      PolicyConf* const* end, const Key& key,
                                                      Evaluation* one) {
    for (; policy != end; ++policy) {
        if (add_unusual_charges(r, *policy, key, nullptr, one) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    return NGX_OK;
}

inline bool may_be_overridden(const PolicyConf& policy) {
    return policy.usable && has_overrides(policy.ask.access->journal.zone());
}

/** Adds the charges of one key's policies that apply and were not evaluated before. */
inline __attribute__((always_inline)) ngx_int_t collect_run(ngx_http_request_t* r,
                                                            PolicyConf* const* policy,
                                                            PolicyConf* const* end, const Key& key,
                                                            Evaluation* one) {
    if (key.text.len == 0) {
        return NGX_OK;
    }
    if (one->earlier == nullptr && !may_be_overridden(**policy)) {
        policy = add_plain_charges(policy, end, key, one);
    }
    return policy == end ? NGX_OK : add_other_charges(r, policy, end, key, one);
}

ngx_int_t collect_all_runs(ngx_http_request_t* r, const PolicySet& set, Evaluation* one) {
    Key keys[kMaxSetPolicies];
    PolicyConf* const* policy = set.policies;
    for (ngx_uint_t i = 0; i < set.run_count; ++i) {
        const KeyRun& run = set.runs[i];
        if (run.key == i && find_key(r, *policy, &keys[i]) != NGX_OK) {
            return NGX_ERROR;
        }
        PolicyConf* const* end = policy + run.count;
        if (collect_run(r, policy, end, keys[run.key], one) != NGX_OK) {
            return NGX_ERROR;
        }
        policy = end;
    }
    return NGX_OK;
}

ngx_int_t collect(ngx_http_request_t* r, const PolicySet& set, Evaluation* one) {
    if (set.run_count != 1) {
        return collect_all_runs(r, set, one);
    }
    Key key;
    PolicyConf* const* policies = set.policies;
    return find_key(r, *policies, &key) == NGX_OK
               ? collect_run(r, policies, policies + set.count, key, one)
               : NGX_ERROR;
}

/**
 * Adds the charges of a set's policies where the body may matter. While it has not been read, those
 * that depend on it are put off: their bits are set in `later`. Once it has (`awaiting` is
 * nullptr), only they are added.
 */
ngx_int_t collect_with_body(ngx_http_request_t* r, const PolicySet& set, const Awaiting* awaiting,
                            uint32_t* later, Evaluation* one) {
    uint32_t wanted = awaiting != nullptr ? ~uint32_t{0} : *later;
    *later = 0;
    ngx_uint_t i = 0;
    for (ngx_uint_t run = 0; run < set.run_count; ++run) {
        Key key;
        bool has_key = false;
        for (ngx_uint_t end = i + set.runs[run].count; i < end; ++i) {
            PolicyConf* policy = set.policies[i];
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

ngx_int_t refuse_or_pass(ngx_http_request_t* r, RequestContext* context, const LocConf& conf,
                         Evaluation* one) {
    if (one->refused && !one->dry_run) {
        one->spared = &conf.list->access;
        return refuse(r, context);
    }
    if (would_refuse(*one)) {
        log_dry_run(r, context);
    }
    return NGX_DECLINED;
}

bool has_tokens(const Evaluation& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (one.charges[i].settled_later) {
            return true;
        }
    }
    return false;
}

/** True if a policy that is not on a dry run counts tokens. */
bool limits_tokens(const Evaluation& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (one.charges[i].settled_later && !one.charges[i].dry_run && !one.dry_run) {
            return true;
        }
    }
    return false;
}

/** Notes what was decided. */
inline __attribute__((always_inline)) ngx_int_t conclude(ngx_http_request_t* r,
                                                         RequestContext* context,
                                                         const LocConf& conf, const PolicySet& set,
                                                         Evaluation* one, bool passes) {
    one->refused = !passes;
    context->latest = one;
    context->in_flight |= set.concurrency;
    context->refusal_status = 0;
    if (one->refused || one->dry_run || set.dry_run) {
        count_results(*one);
        return refuse_or_pass(r, context, conf, one);
    }
    count_passed(*one);
    return NGX_DECLINED;
}

Amount most_held(const Evaluation& one) {
    Amount most = 0;
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (one.charges[i].flight != nullptr &&
            one.charges[i].limit->algorithm == Algorithm::kHold) {
            most = ngx_max(most, one.charges[i].cost);
        }
    }
    return most;
}

/** Before access is granted, nobody is asked for a body for it. */
bool includes_usage(const LocConf& conf, const PolicySet& set) {
    return conf.include_usage && &set == &conf.list->access;
}

/** Whether the request's path says that its body is wanted for ai_limit_include_usage. */
bool is_for_completions(ngx_http_request_t* r) {
    const RequestInfo* info = read_request_info(r);
    return info == nullptr || info->is_for_completions();
}

/** Decides on all charges; NGX_AGAIN while Redis is asked. */
ngx_int_t decide(ngx_http_request_t* r, const PolicySet& set, Evaluation* one, bool* passes) {
    RequestContext* context = find_context(r);
    TokenContext* tokens = context->tokens;
    if (tokens->asked == nullptr) {
        one->now = now_by_nginx();
    }
    if (!has_shared(*one)) {
        *passes = admit_step_by_step(one->charges, one->count, one->now);
        return NGX_OK;
    }
    if (one->flights == nullptr) {
        one->flights =
            static_cast<Flight**>(ngx_pcalloc(r->pool, one->count * sizeof(*one->flights)));
        if (one->flights == nullptr) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    context->in_flight = true;
    ngx_int_t rc = decide_shared(r, main_conf(r)->redis, one, &tokens->asked, passes);
    if (rc == NGX_AGAIN) {
        tokens->pending = one;
        tokens->pending_set = &set;
    }
    return rc;
}

bool wants_body(const PolicyConf& policy, const Charge& charge) {
    return charge.settled_later || policy.after_body;
}

/**
 * Whether some policy that may refuse counts by the body, be it that it has no key only because the
 * body names none.
 */
bool must_read_body(const PolicySet& set, const Evaluation& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const PolicyConf* policy = one.parts[i].policy;
        if (policy != nullptr && !policy->dry_run && wants_body(*policy, one.charges[i])) {
            return true;
        }
    }
    for (ngx_uint_t i = 0; i < set.count; ++i) {
        const PolicyConf* policy = set.policies[i];
        if (policy->after_body && !policy->dry_run && !was_evaluated(one.earlier, policy)) {
            return true;
        }
    }
    return false;
}

/** Why a request cannot be counted, and how the log says so; both empty where it can be. */
struct Uncounted {
    const char* what;
    std::string_view why;
};

Uncounted find_uncounted(ngx_http_request_t* r, const LocConf& conf, const PolicySet& set,
                         const Evaluation& one) {
    if (conf.unreadable_body == ngx_uint_t(UnreadableBody::kReject) && must_read_body(set, one)) {
        const RequestInfo* info = read_request_info(r);
        if (info != nullptr && info->unreadable()) {
            return {"whose body cannot be read", info->why_unreadable()};
        }
    }
    if (limits_tokens(one) && hides_usage(r)) {
        return {"that leaves the usage out of its answer", kHiddenUsage};
    }
    return {nullptr, {}};
}

bool may_want_body(const PolicySet& set) {
    for (ngx_uint_t i = 0; i < set.count; ++i) {
        if (set.policies[i]->may_count_tokens || set.policies[i]->after_body) {
            return true;
        }
    }
    return false;
}

/** Refuses a request before anything is decided: no policy knows what it is about. */
ngx_int_t refuse_unread(ngx_http_request_t* r, const LocConf& conf, const Uncounted& uncounted,
                        Evaluation* one) {
    RequestContext* context = find_context(r);
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        const PolicyConf* policy = one->parts[i].policy;
        bool refuses = policy != nullptr && wants_body(*policy, one->charges[i]);
        one->charges[i].verdict = refuses ? Verdict::kRefused : Verdict::kPassed;
    }
    one->refused = true;
    count_results(*one);
    one->count = 0;
    one->spared = &conf.list->access;
    context->latest = one;
    context->refusal_status = NGX_HTTP_BAD_REQUEST;
    return refuse_uncounted(r, uncounted.what, uncounted.why);
}

/** Decides, when all is known that will be. */
ngx_int_t decide_with_body(ngx_http_request_t* r, const LocConf& conf, const PolicySet& set,
                           Evaluation* one) {
    RequestContext* context = find_context(r);
    TokenContext* tokens = context->tokens;
    if (refuses_uncounted_upgrade(r, conf) && limits_tokens(*one)) {
        ngx_int_t refused = refuse_upgrade(r);
        if (refused != NGX_DECLINED) {
            return refused;
        }
    }
    bool asks = includes_usage(conf, set);
    if ((has_tokens(*one) || asks) &&
        (read_request_info(r) == nullptr || settle_at_end(r, tokens) != NGX_OK)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_int_t rc = NGX_DECLINED;
    if (one->count != 0) {
        bool passes = false;
        rc = decide(r, set, one, &passes);
        if (rc != NGX_OK) {
            return rc;
        }
        tokens->reserved = ngx_max(tokens->reserved, most_held(*one));
        rc = conclude(r, context, conf, set, one, passes);
    }
    if (rc != NGX_DECLINED) {
        return rc;
    }
    if ((has_tokens(*one) && limit_accepted_codings(r, AcceptedCodings::kReadable) != NGX_OK) ||
        (asks && ask_for_usage(r, tokens) != NGX_OK)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return NGX_DECLINED;
}

/** Refuses what no body can help, so that it need not be sent; NGX_DECLINED where one may. */
ngx_int_t refuse_early(ngx_http_request_t* r, const LocConf& conf, const PolicySet& set,
                       Evaluation* one) {
    if (one == nullptr || one->count == 0 || conf.dry_run) {
        return NGX_DECLINED;
    }
    one->now = now_by_nginx();
    one->dry_run = false;
    return would_admit(one->charges, one->count, one->now)
               ? NGX_DECLINED
               : conclude(r, find_context(r), conf, set, one, false);
}

/**
 * Decides where the body may matter. What needs no body is looked at first, so that a client that
 * is refused need not send it.
 */
__attribute__((noinline)) ngx_int_t evaluate_with_body(ngx_http_request_t* r, const LocConf& conf,
                                                       const PolicySet& set) {
    TokenContext* tokens = token_context(r);
    if (tokens == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    RequestContext* context = find_context(r);
    bool waits = awaits_body(r);
    // While it waited, an error may have led elsewhere.
    Evaluation* one = tokens->pending_set == &set ? tokens->pending : nullptr;
    tokens->pending = nullptr;
    if (one != nullptr && tokens->asked != nullptr) {
        return decide_with_body(r, conf, set, one);  // all was collected before Redis was asked
    }
    if (!waits && (one != nullptr || may_want_body(set))) {
        ngx_int_t rc = read_request_info_in_turns(r);
        if (rc != NGX_OK) {
            tokens->pending = one;
            return rc == NGX_AGAIN ? rc : NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    if (one == nullptr) {
        tokens->later = ~uint32_t{0};
        one = add_evaluation(r, context, (main_conf(r)->redis != nullptr ? 3 : 2) * set.count);
    }
    Awaiting awaiting{};
    if (waits && !has_arrived(r)) {
        awaiting.look = add_evaluation(r, context, 2 * set.count);
    }
    const Awaiting* put_off = waits ? &awaiting : nullptr;
    if (one == nullptr || collect_with_body(r, set, put_off, &tokens->later, one) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    one->dry_run = conf.dry_run;
    bool needs_body = tokens->later != 0 || has_tokens(*one) ||
                      (includes_usage(conf, set) && is_for_completions(r));
    if (!waits && !one->dry_run) {
        const Uncounted uncounted = find_uncounted(r, conf, set, *one);
        if (uncounted.what != nullptr) {
            return refuse_unread(r, conf, uncounted, one);
        }
    }
    if (!waits || !needs_body) {
        return decide_with_body(r, conf, set, one);
    }
    for (Evaluation* early : {one, awaiting.look}) {
        ngx_int_t rc = refuse_early(r, conf, set, early);
        if (rc != NGX_DECLINED) {
            return rc;
        }
    }
    tokens->pending = one;
    tokens->pending_set = &set;
    return read_body(r);
}

__attribute__((hot)) ngx_int_t evaluate_set(ngx_http_request_t* r, const LocConf& conf,
                                            const PolicySet& set) {
    if (set.may_wait || includes_usage(conf, set)) {
        return evaluate_with_body(r, conf, set);
    }
    RequestContext* context = find_context(r);
    Evaluation* one = context != nullptr ? add_evaluation(r, context, set.count)
                                         : make_context(r, set.count, &context);
    if (one == nullptr || collect(r, set, one) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (one->count == 0) {
        return NGX_DECLINED;
    }
    one->now = now_by_nginx();
    one->dry_run = conf.dry_run;
    return conclude(r, context, conf, set, one, admit(one->charges, one->count, one->now));
}

/** Subrequests are their main request's own affair, and what nginx does afterwards (post_action) is
 * not the client's. */
bool is_of_client(ngx_http_request_t* r) {
    return r == r->main && !r->post_action;
}

/** NGX_DECLINED lets nginx go on; under `satisfy any`, NGX_OK would let everybody in. */
__attribute__((hot)) ngx_int_t preaccess_handler(ngx_http_request_t* r) noexcept {
    LocConf* conf = loc_conf(r);
    if (refuses_every_upgrade(r, *conf) && is_of_client(r)) {
        ngx_int_t refused = refuse_upgrade(r);
        if (refused != NGX_DECLINED) {
            return refused;
        }
    }
    if (conf->list == nullptr || conf->list->preaccess.count == 0 || !is_of_client(r)) {
        return NGX_DECLINED;
    }
    return evaluate_set(r, *conf, conf->list->preaccess);
}

__attribute__((hot)) ngx_int_t access_handler(ngx_http_request_t* r) noexcept {
    LocConf* conf = loc_conf(r);
    if (refuses_every_upgrade(r, *conf) && is_of_client(r)) {
        ngx_int_t refused = refuse_upgrade(r);
        if (refused != NGX_DECLINED) {
            return refused;
        }
    }
    if (conf->list == nullptr || !is_of_client(r)) {
        return NGX_DECLINED;
    }
    if (conf->list->access.count == 0 && !conf->include_usage) {
        return NGX_DECLINED;
    }
    return evaluate_set(r, *conf, conf->list->access);
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

ngx_int_t add_phase_handlers(ngx_conf_t* cf) {
    MainConf* main =
        static_cast<MainConf*>(ngx_http_conf_get_module_main_conf(cf, ngx_http_ai_limit_module));
    ngx_http_core_main_conf_t* core = static_cast<ngx_http_core_main_conf_t*>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module));

    // Behind realip, which may set the address only here.
    if (main->preaccess &&
        add_last(&core->phases[NGX_HTTP_PREACCESS_PHASE].handlers, preaccess_handler) != NGX_OK) {
        return NGX_ERROR;
    }
    // `phase=access` means that access was granted. Handlers of the access phase itself are left
    // out once `satisfy any` has let somebody in, and run before the refusal where it has not: so
    // this one stands at the front of the next phase, before mirror and try_files.
    if (main->access) {
        ngx_http_handler_pt* handler = static_cast<ngx_http_handler_pt*>(
            ngx_array_push(&core->phases[NGX_HTTP_PRECONTENT_PHASE].handlers));
        if (handler == nullptr) {
            return NGX_ERROR;
        }
        *handler = access_handler;
    }
    // Always: should this configuration fail later, workers of the one before still need the
    // filters.
    add_header_filter();
    add_body_filter();
    return NGX_OK;
}

}  // namespace ai_limit
