// Collects the charges of a request's policies, decides on them as one, and refuses.

#include "nginx/admit.h"

#include "nginx/header_filter.h"
#include "nginx/policy_values.h"
#include "nginx/refusal.h"
#include "nginx/request_context.h"
#include "nginx/shared_zone.h"

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

/**
 * Begins the charge of a policy that may have been evaluated before or has variables. NGX_DECLINED
 * where it does not apply to this request.
 */
__attribute__((noinline)) ngx_int_t begin_unusual_charge(ngx_http_request_t* r,
                                                         const Evaluation* earlier,
                                                         PolicyConf* policy, uint64_t hash,
                                                         Charge* charge) {
    if (!policy->usable || was_evaluated(earlier, policy)) {
        return NGX_DECLINED;
    }
    Ask ask = policy->ask;
    ngx_int_t rc = read_values(r, policy, &ask);
    if (rc == NGX_OK) {
        begin_charge(charge, ask, hash);
    }
    return rc;
}

/** Adds the charges of one key's policies that apply and were not evaluated before. */
ngx_int_t collect_run(ngx_http_request_t* r, PolicyConf* const* policy, PolicyConf* const* end,
                      const Key& key, Evaluation* one) {
    if (key.text.len == 0) {
        return NGX_OK;
    }
    const Evaluation* earlier = one->earlier;
    ngx_uint_t count = one->count;
    Charge* charge = one->charges + count;
    Part* part = one->parts + count;
    for (; policy != end; ++policy) {
        if (earlier == nullptr && (*policy)->plain) {
            begin_charge(charge, (*policy)->ask, key.hash);
        } else {
            ngx_int_t rc = begin_unusual_charge(r, earlier, *policy, key.hash, charge);
            if (rc == NGX_DECLINED) {
                continue;
            }
            if (rc != NGX_OK) {
                return NGX_ERROR;
            }
        }
        *part++ = {*policy, key.text};
        ++charge;
        ++count;
    }
    one->count = count;
    return NGX_OK;
}

ngx_int_t collect_all_runs(ngx_http_request_t* r, const PolicySet& set, Evaluation* one) {
    Key keys[kMaxCharges];
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

ngx_int_t refuse_or_pass(ngx_http_request_t* r, RequestContext* context, const LocConf& conf,
                         Evaluation* one) {
    if (one->refused && !one->dry_run) {
        one->spared = &conf.list->access;
        context->refusal_status = conf.status;
        return refuse(r, context);
    }
    if (would_refuse(*one)) {
        log_dry_run(r, context);
    }
    return NGX_DECLINED;
}

ngx_int_t evaluate_set(ngx_http_request_t* r, const LocConf& conf, const PolicySet& set) {
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
    one->refused = !admit(one->charges, one->count, one->now);
    context->latest = one;
    context->in_flight |= set.concurrency;
    context->refusal_status = 0;
    if (one->refused || one->dry_run || set.dry_run) {
        return refuse_or_pass(r, context, conf, one);
    }
    return NGX_DECLINED;
}

/**
 * NGX_DECLINED lets nginx go on; under `satisfy any`, NGX_OK would let everybody in.
 * Subrequests are their main request's own affair.
 */
ngx_int_t preaccess_handler(ngx_http_request_t* r) noexcept {
    LocConf* conf = loc_conf(r);
    if (conf->list == nullptr || conf->list->preaccess.count == 0 || r != r->main) {
        return NGX_DECLINED;
    }
    return evaluate_set(r, *conf, conf->list->preaccess);
}

ngx_int_t access_handler(ngx_http_request_t* r) noexcept {
    LocConf* conf = loc_conf(r);
    if (conf->list == nullptr || conf->list->access.count == 0 || r != r->main) {
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
    // filter.
    add_header_filter();
    return NGX_OK;
}

}  // namespace ai_limit
