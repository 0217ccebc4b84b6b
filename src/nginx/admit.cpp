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
        if (set.uses[i].policy == policy) {
            return true;
        }
    }
    return false;
}

/** Also true of those that a refusal before their phase has spared: error_page shall not charge
 * them. */
bool was_evaluated(RequestContext* context, const PolicyConf* policy) {
    for (Evaluation* one = context->latest; one != nullptr; one = one->earlier) {
        if (one->spared != nullptr && contains(*one->spared, policy)) {
            return true;
        }
        for (ngx_uint_t i = 0; i < one->count; ++i) {
            if (one->parts()[i].policy == policy) {
                return true;
            }
        }
    }
    return false;
}

/** A key of a set's policies, evaluated and hashed once. */
struct Key {
    ngx_str_t text;
    uint64_t hash;
};

/** While the charges of a set are collected. */
struct Collection {
    ngx_http_request_t* r;
    const PolicySet* set;
    uint32_t known;  // one bit for each of `keys`
    Key keys[kMaxCharges];
};

ngx_int_t find_key(Collection* collection, ngx_uint_t index, const Key** found) {
    Key* key = &collection->keys[index];
    *found = key;
    if (collection->known >> index & 1) {
        return NGX_OK;
    }
    PolicyConf* policy = collection->set->uses[index].policy;
    if (evaluate(collection->r, &policy->key, &key->text) != NGX_OK) {
        return NGX_ERROR;
    }
    collection->known |= uint32_t{1} << index;
    if (key->text.len != 0) {
        key->hash = hash_key(policy->access->journal.zone(), view(key->text));
    }
    return NGX_OK;
}

/** Fills in one charge. NGX_DECLINED where the policy does not apply to this request. */
inline __attribute__((always_inline)) ngx_int_t collect_charge(Collection* collection,
                                                               const PolicyUse& use, Charge* charge,
                                                               Part* part) {
    PolicyConf* policy = use.policy;
    if (policy->number == 0) {
        return NGX_DECLINED;  // the zone is used by too many processes: logged when this one began
    }
    const Key* key;
    if (find_key(collection, use.key, &key) != NGX_OK) {
        return NGX_ERROR;
    }
    if (key->text.len == 0) {
        return NGX_DECLINED;
    }
    const Limit* limit = &policy->limit;
    Amount cost = policy->cost;
    if (policy->variable != nullptr || policy->cost_variable != nullptr) {
        ngx_int_t rc = read_values(collection->r, policy, &limit, &cost);
        if (rc != NGX_OK) {
            return rc;
        }
    }
    begin_charge(charge, limit, policy->access, key->hash, policy->number, policy->dry_run, cost);
    *part = {policy, key->text};
    return NGX_OK;
}

/** The charges of the policies that apply and were not evaluated before. */
inline __attribute__((always_inline)) ngx_int_t collect(ngx_http_request_t* r,
                                                        RequestContext* context,
                                                        const PolicySet& set, Evaluation* one) {
    Collection collection;
    collection.r = r;
    collection.set = &set;
    collection.known = 0;
    one->count = set.count;  // where the parts begin
    Part* parts = one->parts();
    ngx_uint_t count = 0;
    for (ngx_uint_t i = 0; i < set.count; ++i) {
        if (context->latest != nullptr && was_evaluated(context, set.uses[i].policy)) {
            continue;
        }
        ngx_int_t rc =
            collect_charge(&collection, set.uses[i], &one->charges[count], &parts[count]);
        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }
        count += rc == NGX_OK ? 1 : 0;
    }
    if (count != set.count) {
        one->count = count;
        ngx_memmove(one->parts(), parts, count * sizeof(Part));
    }
    return NGX_OK;
}

ngx_int_t evaluate_set(ngx_http_request_t* r, const LocConf& conf, const PolicySet& set) {
    RequestContext* context = find_context(r);
    Evaluation* one = context != nullptr ? make_evaluation(r, set.count) : nullptr;
    if (one == nullptr && (context != nullptr || !make_context(r, set.count, &context, &one))) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (collect(r, context, set, one) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (one->count == 0) {
        return NGX_DECLINED;
    }
    one->now = now_by_nginx();
    one->dry_run = conf.dry_run;
    one->refused = !admit(one->charges, one->count, one->now);
    one->spared = one->refused && !one->dry_run ? &conf.list->access : nullptr;
    one->earlier = context->latest;
    context->latest = one;
    context->in_flight |= set.concurrency;
    if (one->refused && !one->dry_run) {
        context->refusal_status = conf.status;
        return refuse(r, context);
    }
    context->refusal_status = 0;
    if ((one->dry_run || set.dry_run) && would_refuse(*one)) {
        log_dry_run(r, context);
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
