#pragma once

// The accounts of policies with rate=upstream, for /status and /metrics.

#include "core/observe/metrics_text.h"
#include "core/upstream/account.h"
#include "nginx/api/api_output.h"
#include "nginx/conf/upstream_conf.h"

namespace ai_limit {

/** One quota of an account as this nginx knows it. */
struct QuotaView {
    bool is_known;
    Amount limit;      // as the provider tells it
    Amount remaining;  // by what was told and what was sent since
    Millis reset;      // until all of it remains
};

struct AccountView {
    const UpstreamConf* upstream;
    std::string_view key;  // as a log shows it
    uint64_t refusals;     // by the provider
    Millis cooldown;       // what is left of it; 0 while one request tries, and without any
    bool is_cooling;       // until a request has passed
    QuotaView quotas[kQuotaKinds];
};

/** Writes `"accounts":[…]`. */
void add_accounts(const MainConf& conf, ApiOutput* output);

/** Writes the metrics of all accounts; nothing if the configuration has no rate=upstream. */
void add_account_metrics(const MainConf& conf, ApiOutput* output);

}  // namespace ai_limit
