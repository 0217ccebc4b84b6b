#include "nginx/count_requests.h"

namespace ai_limit {

namespace {

bool was_refused(const Charge& charge) {
    return charge.verdict == Verdict::kRefused || charge.verdict == Verdict::kNoRoom;
}

void note(const Charge& charge, const Part& part, TopMeasure measure, Millis monotonic,
          uint64_t amount) {
    note_key(part.policy->top_keys, measure, epoch_of(monotonic), charge.tag, view(part.key),
             amount);
}

}  // namespace

void count_results(const Evaluation& one) {
    bool refused = one.refused && !one.dry_run;
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const Charge& charge = one.charges[i];
        const Part& part = one.parts[i];
        if (part.policy == nullptr || (refused && !was_refused(charge))) {
            continue;
        }
        PolicyCounts* counts = part.policy->counts;
        bool refuses = was_refused(charge);
        count_one(!refuses                        ? &counts->passed
                  : one.dry_run || charge.dry_run ? &counts->rejected_dry_run
                                                  : &counts->rejected);
        note(charge, part, TopMeasure::kRequests, one.now.monotonic, 1);
        if (refuses) {
            note(charge, part, TopMeasure::kRefusals, one.now.monotonic, 1);
        }
    }
}

void count_used(const Charge& charge, const Part& part, const TokenCounts& used, Amount charged,
                Now now) {
    count_tokens(part.policy->counts, used);
    note(charge, part, TopMeasure::kTokens, now.monotonic, charged);
}

}  // namespace ai_limit
