#pragma once

// Counts what was decided, for who operates this nginx: by policy, and by the keys that stand out.

#include "core/meters.h"
#include "core/top_keys.h"
#include "nginx/request_context.h"

namespace ai_limit {

/** Of a request that all its policies let pass, none of them on a dry run. */
inline __attribute__((always_inline)) void count_passed(const Evaluation& one) {
    uint64_t epoch = epoch_of(one.now.monotonic);
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const PolicyConf* policy = one.parts[i].policy;
        if (policy != nullptr) {
            count_one(&policy->counts->passed);
            note_key(policy->top_keys, TopMeasure::kRequests, epoch, one.charges[i].tag,
                     view(one.parts[i].key), 1);
        }
    }
}

/**
 * Of any other. Where the request is refused, the policies that would have let it pass have no part
 * in it: they were charged nothing.
 */
void count_results(const Evaluation& one);

/** What a policy in tokens was charged for a request that has ended. */
void count_used(const Charge& charge, const Part& part, const TokenCounts& used, Amount charged,
                Now now);

}  // namespace ai_limit
