#include "nginx/admit/unpriced.h"

#include "clock.h"
#include "nginx/admit/admit.h"
#include "nginx/values/request_price.h"

namespace ai_limit {

namespace {

bool counts_money(const PolicyCharge& charge) {
    return charge.reservation != nullptr && charge.use.limit->measure == Measure::kMoney;
}

/** Finds out what remains, for the report, and lets the policies in money refuse. */
void mark(Decision* one) {
    one->now = now_by_nginx();
    would_admit(one->charges, one->count, one->now);
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        if (counts_money(one->charges[i])) {
            one->charges[i].use.verdict = Verdict::kUnpriced;
        }
    }
}

/** Moves the policies in money into a decision of their own, before this one. nullptr without
 * memory. */
Decision* move_money(ngx_http_request_t* r, Decision* one) {
    Decision* moved = add_decision(r, find_context(r), one->count);
    if (moved == nullptr) {
        return nullptr;
    }
    ngx_uint_t kept = 0;
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        Decision* to = counts_money(one->charges[i]) ? moved : one;
        ngx_uint_t* place = to == moved ? &moved->count : &kept;
        to->charges[*place] = one->charges[i];
        to->parts[*place] = one->parts[i];
        ++*place;
    }
    one->count = kept;
    one->earlier = moved;
    return moved;
}

}  // namespace

ngx_int_t refuse_unpriced(ngx_http_request_t* r, const LocConf& conf, const PolicySet& set,
                          Decision* one) {
    bool has_money = false;
    bool refuses = conf.dry_run;
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        const bool is_money = counts_money(one->charges[i]);
        has_money |= is_money;
        refuses |= is_money && !one->charges[i].use.dry_run;
    }
    if (!has_money || !lacks_price(r, find_token_context(r))) {
        return NGX_OK;
    }
    if (refuses) {
        mark(one);
        return NGX_OK;
    }
    Decision* tried = move_money(r, one);
    if (tried == nullptr) {
        return NGX_ERROR;
    }
    tried->dry_run = false;
    mark(tried);
    conclude_with_body(r, conf, set, tried, true);
    return NGX_OK;
}

}  // namespace ai_limit
