#include "nginx/decision/decision.h"

namespace ai_limit {

namespace {

const PolicyCharge* charge_of(const Decision& one, const PolicyConf* policy) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (one.parts[i].policy == policy) {
            return &one.charges[i];
        }
    }
    return nullptr;
}

}  // namespace

void read_label(ngx_http_request_t* r, Part* part) {
    if (part->policy->label != nullptr &&
        evaluate(r, part->policy->label, &part->label) != NGX_OK) {
        part->label = {};
    }
}

bool is_to_be_settled(const Decision& one, const PolicyCharge& charge) {
    return charge.reservation != nullptr && charge.use.verdict == Verdict::kPassed &&
           !one.refused && charge.use.access->journal.is_open();
}

bool is_unpriced(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (one.charges[i].use.verdict == Verdict::kUnpriced) {
            return true;
        }
    }
    return false;
}

bool is_refused_unasked(const Decision& one) {
    return one.refused && !one.dry_run && (one.count == 0 || is_unpriced(one));
}

bool would_refuse(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const Charge& charge = one.charges[i].use;
        if ((charge.dry_run || one.dry_run) && is_refused(charge)) {
            return true;
        }
    }
    return false;
}

bool took_part(const Decision& one, const PolicyConf* policy) {
    return charge_of(one, policy) != nullptr;
}

const PolicyCharge* find_charge(const Decision* latest, const PolicyConf* policy,
                                const Decision** decision) {
    for (const Decision* one = latest; one != nullptr; one = one->earlier) {
        const PolicyCharge* charge = charge_of(*one, policy);
        if (charge != nullptr) {
            if (decision != nullptr) {
                *decision = one;
            }
            return charge;
        }
    }
    return nullptr;
}

}  // namespace ai_limit
