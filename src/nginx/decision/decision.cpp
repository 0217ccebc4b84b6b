#include "nginx/decision/decision.h"

namespace ai_limit {

bool is_to_be_settled(const Decision& one, const PolicyCharge& charge) {
    return charge.reservation != nullptr && charge.use.verdict == Verdict::kPassed &&
           !one.refused && charge.use.access->journal.is_open();
}

bool would_refuse(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const Charge& charge = one.charges[i].use;
        if ((charge.dry_run || one.dry_run) && charge.verdict == Verdict::kRefused) {
            return true;
        }
    }
    return false;
}

const PolicyCharge* find_charge(const Decision* latest, const PolicyConf* policy,
                                const Decision** decision) {
    for (const Decision* one = latest; one != nullptr; one = one->earlier) {
        for (ngx_uint_t i = 0; i < one->count; ++i) {
            if (one->parts[i].policy == policy) {
                if (decision != nullptr) {
                    *decision = one;
                }
                return &one->charges[i];
            }
        }
    }
    return nullptr;
}

}  // namespace ai_limit
