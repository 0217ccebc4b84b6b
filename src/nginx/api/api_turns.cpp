#include "nginx/api/api_turns.h"

#include "clock.h"
#include "core/keys/key_sharers.h"
#include "nginx/conf/live.h"
#include "nginx/values/policy_values.h"

namespace ai_limit {

namespace {

/** Finds the limit that was set for a key on all nodes. A shortened name may be that of several
 * keys, which is good enough to look at. */
bool find_override_by_name(const PolicyConf& policy, const ShownName& key, OverrideView* found) {
    const Zone& zone = policy.live->ask.access->journal.zone();
    if (key.is_whole) {
        const uint64_t tag = tag_of_override(policy, key.view(), hash_key(zone, key.view()));
        return find_override_in_force(policy, tag, found);
    }
    for (uint32_t place = 0; place < kMaxOverrides; ++place) {
        if (read_override(zone, place, now_by_nginx().monotonic, found) &&
            found->policy == policy.live->ask.policy && found->shown_key() == key.view() &&
            can_have(policy, found->limit.measure)) {
            return true;
        }
    }
    return false;
}

/** Finds the limit that was set for the key of a sharer. In a policy of this node alone, the tag of
 * the key's entry is known, and the bits in it that tell apart the key's entries follow from the
 * limit. */
bool find_override_of_sharer(const PolicyConf& policy, const NamedSharer& sharer,
                             OverrideView* found) {
    if (!has_overrides(policy.live->ask.access->journal.zone())) {
        return false;
    }
    if (policy.in_redis) {
        return find_override_by_name(policy, sharer.key, found);
    }
    for (uint32_t variant = 0; variant < kMaxVariants; ++variant) {
        if (find_override_in_force(policy, sharer.key_tag ^ tag_bits(variant), found) &&
            found->limit.variant == variant) {
            return true;
        }
    }
    return false;
}

/** Returns how many nodes divide the limit, each with its own sharers. */
uint32_t nodes_of(const PolicyConf& policy) {
    const ZoneHeader& header = *policy.live->ask.access->journal.zone().header();
    const bool divides = policy.in_redis && policy.by_share;
    const uint32_t nodes = divides ? header.nodes.load(std::memory_order_relaxed) : 1;
    return ngx_min(ngx_max(nodes, uint32_t{1}), kMostNodesOfPart);
}

void add_sharer(const PolicyConf& policy, const NamedSharer& sharer, SharerRows* rows) {
    OverrideView found;
    SharedKey key = {policy.live->ask.access, sharer.key_tag, nullptr, policy.live->ask.policy,
                     nodes_of(policy)};
    if (find_override_of_sharer(policy, sharer, &found)) {
        key.limit = &found.limit;
    } else if (policy.variable == nullptr) {
        key.limit = &policy.live->limit;
    }
    SharerRow row{};
    if (read_sharer_row(key, sharer, policy.live->sharer, now_by_nginx(), &row)) {
        add_row(row, rows);
    }
}

bool add_sharers(ngx_http_request_t* r, const PolicyConf& policy, PolicySnapshot* seen) {
    SharerRows* rows = static_cast<SharerRows*>(ngx_pcalloc(r->pool, sizeof(SharerRows)));
    if (rows == nullptr) {
        return false;
    }
    NamedSharer named[kNamedSharers];
    const size_t count = read_named_sharers(*policy.live->sharer_names, named);
    for (size_t i = 0; i < count; ++i) {
        add_sharer(policy, named[i], rows);
    }
    seen->sharers = rows;
    return true;
}

}  // namespace

bool add_turns(ngx_http_request_t* r, const PolicyConf& policy, PolicySnapshot* seen) {
    if (policy.wait != 0) {
        auto* waiting =
            static_cast<WaitingKeyViews*>(ngx_pcalloc(r->pool, sizeof(WaitingKeyViews)));
        if (waiting == nullptr) {
            return false;
        }
        if (seen->load.waiting != 0) {
            read_waiting_keys(policy.zone->live->access.journal.zone(), seen->number,
                              now_by_nginx().monotonic, waiting);
        }
        seen->waiting = waiting;
    }
    return policy.sharer == nullptr || add_sharers(r, policy, seen);
}

}  // namespace ai_limit
