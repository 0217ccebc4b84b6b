#include "nginx/admit/sharer_charge.h"

#include <new>

#include "clock.h"
#include "core/decide/sharer.h"
#include "core/observe/sharer_names.h"
#include "nginx/sharing/node_decision.h"
#include "nginx/values/policy_values.h"

namespace ai_limit {

ngx_int_t add_sharer(ngx_http_request_t* r, const PolicyConf& policy, std::string_view key,
                     PolicyCharge* charge) {
    if (policy.sharer == nullptr) {
        return NGX_OK;
    }
    Sharer sharer{};
    void* memory = ngx_palloc(r->pool, sizeof(SharerCharge));
    if (memory == nullptr || read_sharer(r, policy, &sharer) != NGX_OK) {
        return NGX_ERROR;
    }
    charge->sharer = new (memory) SharerCharge;
    begin_charge(charge->sharer, policy.live->sharer, hash_sharer(charge->use.tag, sharer.hash),
                 sharer.weight, charge->use);
    note_sharer(policy.live->sharer_names,
                {charge->sharer->tag, charge->use.tag, view(sharer.text), key},
                now_by_nginx().monotonic);
    charge->sharer->name = view(sharer.text);
    charge->sharer->over_nodes = policy.in_redis && !passes_by_share(policy, charge->use);
    return NGX_OK;
}

}  // namespace ai_limit
