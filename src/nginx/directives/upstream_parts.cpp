#include "nginx/directives/upstream_parts.h"

#include "core/upstream/account.h"
#include "nginx/conf/conf_words.h"

namespace ai_limit {

namespace {

constexpr std::string_view kCooldownName = "cooldown";

/** Names of policies have no colons, so that no other one can have such a name. */
ngx_int_t name_part(ngx_conf_t* cf, ngx_str_t name, std::string_view part, ngx_str_t* full) {
    full->len = name.len + 1 + part.size();
    full->data = static_cast<u_char*>(ngx_pnalloc(cf->pool, full->len));
    if (full->data == nullptr) {
        return NGX_ERROR;
    }
    u_char* at = ngx_cpymem(full->data, name.data, name.len);
    *at++ = ':';
    ngx_memcpy(at, part.data(), part.size());
    return NGX_OK;
}

/** A stand-in for a limit that nobody knows before an answer has come. */
Limit stand_in(Measure measure) {
    Limit limit = try_limit();
    limit.measure = measure;
    return limit;
}

PolicyConf* copy_part(ngx_conf_t* cf, const PolicyConf& policy, std::string_view name) {
    PolicyConf* part = allocate<PolicyConf>(cf);
    if (part == nullptr) {
        return nullptr;
    }
    *part = policy;
    return name_part(cf, policy.name, name, &part->name) == NGX_OK ? part : nullptr;
}

PolicyConf* make_quota_part(ngx_conf_t* cf, const PolicyConf& policy, const QuotaKindFacts& facts) {
    PolicyConf* part = copy_part(cf, policy, facts.name);
    if (part != nullptr) {
        part->limit = stand_in(facts.measure);
        part->may_count_tokens = true;
        parse_token_weights(facts.count, &part->weights);
    }
    return part;
}

PolicyConf* make_cooldown_part(ngx_conf_t* cf, const PolicyConf& policy) {
    PolicyConf* part = copy_part(cf, policy, kCooldownName);
    if (part != nullptr) {
        part->limit = try_limit();
        part->sharer = nullptr;  // the one that tries does so for all
    }
    return part;
}

}  // namespace

char* add_upstream_parts(ngx_conf_t* cf, MainConf* main, PolicyConf* policy) {
    constexpr size_t kLongestPart = sizeof(":output_tokens") - 1;
    if (policy->name.len + kLongestPart > kMaxPolicyName) {
        return mistake(cf, "too long a name", policy->name,
                       ", expected up to 50 letters with rate=upstream");
    }
    UpstreamConf* upstream = policy->upstream;
    policy->algorithm = Algorithm::kTokenBucket;
    policy->limit = stand_in(Measure::kRequests);
    for (const QuotaKindFacts& facts : kQuotaKindFacts) {
        upstream->parts[static_cast<size_t>(facts.kind)] =
            facts.kind == QuotaKind::kRequests ? policy : make_quota_part(cf, *policy, facts);
    }
    upstream->parts[kCooldownPart] = make_cooldown_part(cf, *policy);
    for (PolicyConf* part : upstream->parts) {
        if (part == nullptr || append(&main->policies, part) != NGX_OK) {
            return error_result();
        }
    }
    return NGX_CONF_OK;
}

}  // namespace ai_limit
