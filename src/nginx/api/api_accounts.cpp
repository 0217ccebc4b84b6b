#include "nginx/api/api_accounts.h"

#include "clock.h"
#include "core/json/json_writer.h"
#include "core/keys/key_entry.h"
#include "nginx/api/api_policies.h"
#include "nginx/conf/live.h"

namespace ai_limit {

namespace {

constexpr size_t kMaxAccountJson = 1024 + 6 * (kMaxTopKeyText + kMaxPolicyName);

QuotaView look_at_quota(const UpstreamAccount& account, const PolicyConf& policy, uint64_t hash) {
    QuotaView seen{};
    Limit limit{};
    const QuotaKind kind = kind_of(policy);
    seen.is_known = policy.live->usable && make_quota_limit(account, kind, 0, &limit);
    if (!seen.is_known) {
        return seen;
    }
    KeyAnswer answer{};
    read_key(question_of(policy, hash, &limit), now_by_nginx(), &answer);
    seen.limit = told_limit(account, kind);
    seen.remaining = seen.limit - ngx_min(seen.limit, answer.used + answer.reserved);
    seen.reset = answer.said.reset;
    return seen;
}

AccountView look_at_account(const UpstreamConf& upstream, const UpstreamAccount& account) {
    AccountView seen{};
    const PolicyConf& requests = *upstream.parts[0];
    const uint64_t hash = tag_of(account.tag.load(), requests.live->ask.policy);
    seen.upstream = &upstream;
    seen.key = {account.name, ngx_min(account.name_size.load(), uint32_t{kMaxTopKeyText})};
    seen.refusals = account.refusals.load();
    seen.is_cooling = is_cooling(account);
    seen.cooldown =
        seen.is_cooling
            ? ngx_max(account.cooling_until.load() - now_by_nginx().monotonic, Millis{0})
            : 0;
    for (size_t kind = 0; kind < kQuotaKinds; ++kind) {
        seen.quotas[kind] = look_at_quota(account, *upstream.parts[kind], hash);
    }
    return seen;
}

/** Calls `visit` for each account of one policy. */
template <typename Visit>
void each_account_of(const UpstreamConf& upstream, const Visit& visit) {
    const PolicyConf& requests = *upstream.parts[0];
    const Zone& zone = requests.zone->live->access.journal.zone();
    for (uint32_t set = 0; set < zone.sizes().account_sets; ++set) {
        for (const UpstreamAccount& account : zone.accounts(set)->ways) {
            if (account.tag.load() != 0 && account.policy.load() == requests.live->ask.policy &&
                account.name_size.load() != 0) {
                visit(look_at_account(upstream, account));
            }
        }
    }
}

/** Calls `visit` for each account of the configuration. */
template <typename Visit>
void each_account(const MainConf& conf, const Visit& visit) {
    for (const PolicyConf* policy : policies_of(conf)) {
        const bool is_first = policy->upstream != nullptr && policy->upstream->parts[0] == policy;
        if (is_first && policy->live->usable) {
            each_account_of(*policy->upstream, visit);
        }
    }
}

void write_quota(const QuotaView& quota, size_t kind, JsonWriter& json) {
    json.open('{');
    json.text("kind", kQuotaKindFacts[kind].name);
    json.number("limit", quota.limit);
    json.number("remaining", quota.remaining);
    json.number("reset", seconds_rounded_up(quota.reset));
    json.close('}');
}

void write_account(const AccountView& account, JsonWriter& json) {
    json.open('{');
    json.text("policy", view(account.upstream->parts[0]->name));
    json.text("key", account.key);
    json.number("refusals", account.refusals);
    json.truth("cooling", account.is_cooling);
    json.number("cooldown", seconds_rounded_up(account.cooldown));
    json.open("quotas", '[');
    for (size_t kind = 0; kind < kQuotaKinds; ++kind) {
        if (account.quotas[kind].is_known) {
            write_quota(account.quotas[kind], kind, json);
        }
    }
    json.close(']');
    json.close('}');
}

/** A metric of each account, or of each quota that is known of it. */
struct AccountMetric {
    Metric metric;
    uint64_t (*of_account)(const AccountView& account);  // nullptr: it is one of quotas
    uint64_t (*of_quota)(const QuotaView& quota);
};

constexpr AccountMetric kAccountMetrics[] = {
    {{"ai_limit_upstream_limit", "gauge",
      "What the provider gives an account in a period, as it tells. The policy names the kind."},
     nullptr,
     [](const QuotaView& quota) { return quota.limit; }},
    {{"ai_limit_upstream_remaining", "gauge",
      "What remains of that, by what the provider told and what was sent since."},
     nullptr,
     [](const QuotaView& quota) { return quota.remaining; }},
    {{"ai_limit_upstream_reset_seconds", "gauge", "Seconds until all of it remains again."},
     nullptr,
     [](const QuotaView& quota) { return seconds_rounded_up(quota.reset); }},
    {{"ai_limit_upstream_refusals_total", "counter",
      "Requests of the account that its provider refused with 429, 503 or 529."},
     [](const AccountView& account) { return account.refusals; },
     nullptr},
    {{"ai_limit_upstream_cooling", "gauge",
      "Whether the provider has refused a request of the account and none has passed since."},
     [](const AccountView& account) { return uint64_t{account.is_cooling}; },
     nullptr},
};

constexpr size_t kMaxAccountSamples = kQuotaKinds * (kMaxSample + 2 * kMaxTopKeyText);

void write_samples(const AccountMetric& one, const AccountView& account, TextWriter& out) {
    const Label key = {"account", account.key};
    if (one.of_account != nullptr) {
        write_sample(one.metric.name, {"policy", view(account.upstream->parts[0]->name)}, key,
                     one.of_account(account), out);
        return;
    }
    for (size_t kind = 0; kind < kQuotaKinds; ++kind) {
        if (account.quotas[kind].is_known) {
            write_sample(one.metric.name, {"policy", view(account.upstream->parts[kind]->name)},
                         key, one.of_quota(account.quotas[kind]), out);
        }
    }
}

}  // namespace

void add_accounts(const MainConf& conf, ApiOutput* output) {
    TextWriter head = output->begin(sizeof(",\"accounts\":["));
    head.text(",\"accounts\":[");
    output->end(head);
    bool is_first = true;
    each_account(conf, [&](const AccountView& account) {
        TextWriter out = output->begin(kMaxAccountJson);
        out.text(is_first ? "" : ",");
        is_first = false;
        JsonWriter json(out);
        write_account(account, json);
        output->end(out);
    });
    TextWriter tail = output->begin(1);
    tail.text("]");
    output->end(tail);
}

void add_account_metrics(const MainConf& conf, ApiOutput* output) {
    if (!conf.upstreams) {
        return;
    }
    for (const AccountMetric& one : kAccountMetrics) {
        TextWriter family = output->begin(kMaxSample);
        write_family(one.metric, family);
        output->end(family);
        each_account(conf, [&](const AccountView& account) {
            TextWriter out = output->begin(kMaxAccountSamples);
            write_samples(one, account, out);
            output->end(out);
        });
    }
}

}  // namespace ai_limit
