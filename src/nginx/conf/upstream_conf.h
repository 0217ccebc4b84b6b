#pragma once

#include "core/limits/quota_kind.h"
#include "nginx/conf/config.h"

namespace ai_limit {

/** After the kinds of quota: the part of a policy that decides who tries after a cooldown. */
constexpr size_t kCooldownPart = kQuotaKinds;
constexpr size_t kUpstreamParts = kQuotaKinds + 1;

/**
 * A policy with rate=upstream: it is one policy for each kind of quota, and one for cooldowns. They
 * have the same key, and are asked together.
 */
struct UpstreamConf {
    PolicyConf* parts[kUpstreamParts];  // by QuotaKind; the first one has the name that is written
    uint32_t headroom;                  // in percent
};

/** True if the policy decides who tries after a cooldown. */
inline bool is_cooldown(const PolicyConf& policy) {
    return policy.upstream != nullptr && policy.upstream->parts[kCooldownPart] == &policy;
}

/** True if the policy's limit is learned from a provider, and differs from key to key. */
inline bool is_learned(const PolicyConf& policy) {
    return policy.upstream != nullptr && !is_cooldown(policy);
}

/** The kind of quota that a policy with a learned limit counts. */
inline QuotaKind kind_of(const PolicyConf& policy) {
    size_t kind = 0;
    while (kind < kQuotaKinds - 1 && policy.upstream->parts[kind] != &policy) {
        ++kind;
    }
    return static_cast<QuotaKind>(kind);
}

}  // namespace ai_limit
