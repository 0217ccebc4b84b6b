#include "nginx/api/api_near.h"

#include "clock.h"
#include "core/observe/top_keys.h"
#include "nginx/api/api_policies.h"
#include "nginx/conf/live.h"
#include "nginx/values/policy_values.h"

namespace ai_limit {

namespace {

void look_at_key(const PolicyConf& policy, const TopKey& key, NearKeys* near) {
    const uint64_t hash = tag_of(key.tag, policy.live->ask.policy);
    KeyQuestion question =
        question_of(policy, hash, policy.variable == nullptr ? &policy.live->limit : nullptr);
    OverrideView found;
    if (find_override_in_force(policy, key.tag, &found)) {
        question.limit = &found.limit;
    }
    KeyAnswer answer{};
    if (!has_key(*near, key.tag) && read_key(question, now_by_nginx(), &answer)) {
        add_near_key({key, answer.said}, near);
    }
}

}  // namespace

bool add_near_keys(ngx_http_request_t* r, const PolicyConf& policy, PolicySnapshot* seen) {
    if (policy.upstream != nullptr) {
        return true;  // a provider's accounts are shown by themselves
    }
    NearKeys* near = static_cast<NearKeys*>(ngx_pcalloc(r->pool, sizeof(NearKeys)));
    if (near == nullptr) {
        return false;
    }
    const uint64_t epoch = epoch_of(now_by_nginx().monotonic);
    for (const TopMeasure measure :
         {TopMeasure::kRequests, TopMeasure::kRefusals, TopMeasure::kCharges}) {
        TopKey keys[kShownTopKeys];
        const size_t count =
            read_top_keys(*policy.live->top_keys, measure, epoch, keys, kShownTopKeys);
        for (size_t i = 0; i < count; ++i) {
            look_at_key(policy, keys[i], near);
        }
    }
    seen->near = near;
    return true;
}

}  // namespace ai_limit
