#include "nginx/decision/warning.h"

#include "core/keys/warning.h"
#include "core/observe/meters.h"
#include "core/words/amount_text.h"
#include "nginx/decision/report.h"

namespace ai_limit {

namespace {

void warn(ngx_http_request_t* r, const Charge& charge, const Part& part, Amount taken,
          const State& after) {
    const uint32_t percent = part.policy->warn;
    if (percent == 0 || !passes_warning(charge, percent, taken, after)) {
        return;
    }
    count_one(&part.policy->live->counts->warned);
    char buffer[kMaxNamedKey];
    TextWriter key(buffer, sizeof(buffer));
    write_named_key(part, key);
    char amounts[2 * kMaxAmountText + 32];
    TextWriter use(amounts, sizeof(amounts));
    write_amount(charge.limit->measure, used(*charge.limit, after), use);
    use.text(" of ");
    write_amount_and_unit(charge.limit->measure, charge.limit->capacity, use);
    ngx_str_t key_text = to_ngx(key.view());
    ngx_str_t use_text = to_ngx(use.view());
    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "a key has passed %uD%% of its limit, policy: \"%V\", key: %V, used: %V", percent,
                  &part.policy->name, &key_text, &use_text);
}

}  // namespace

void warn_of_passed(ngx_http_request_t* r, const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const PolicyCharge& charge = one.charges[i];
        if (charge.use.verdict == Verdict::kPassed && charge.reservation == nullptr) {
            warn(r, charge.use, one.parts[i], charge.use.cost, charge.use.state);
        }
    }
}

void warn_of_settled(ngx_http_request_t* r, const Charge& charge, const Part& part, Amount charged,
                     const State& after) {
    warn(r, charge, part, charged, after);
}

}  // namespace ai_limit
