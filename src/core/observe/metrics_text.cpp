#include "core/observe/metrics_text.h"

#include "core/words/amount_text.h"

namespace ai_limit {

namespace {

/** The format's own escapes: backslash, quote, new line. */
void write_label_value(std::string_view value, TextWriter& out) {
    for (char c : value) {
        if (c == '\n') {
            out.text("\\n");
        } else {
            out.text(c == '\\' || c == '"' ? std::string_view("\\") : std::string_view());
            out.text({&c, 1});
        }
    }
}

/** Microseconds as seconds. */
void write_micros(uint64_t micros, TextWriter& out) {
    out.number(micros / 1'000'000);
    out.text(".");
    for (uint64_t unit = 100'000; unit != 0; unit /= 10) {
        char digit = static_cast<char>('0' + micros / unit % 10);
        out.text({&digit, 1});
    }
}

void write_label(Label label, TextWriter& out) {
    out.text(label.name);
    out.text("=\"");
    write_label_value(label.value, out);
    out.text("\"");
}

void write_requests(std::string_view metric, const PolicySnapshot& policy, TextWriter& out) {
    Label name = {"policy", policy.name};
    write_sample(metric, name, {"result", "passed"}, policy.totals.passed, out);
    write_sample(metric, name, {"result", "rejected"}, policy.totals.rejected, out);
    write_sample(metric, name, {"result", "rejected_dry_run"}, policy.totals.rejected_dry_run, out);
}

void write_rejections(std::string_view metric, const PolicySnapshot& policy, TextWriter& out) {
    Label name = {"policy", policy.name};
    const PolicyTotals& totals = policy.totals;
    write_sample(metric, name, {"reason", "wait"}, totals.rejected_for_now(), out);
    write_sample(metric, name, {"reason", "never"}, totals.rejected_never, out);
    write_sample(metric, name, {"reason", "blocked"}, totals.rejected_blocked, out);
}

void write_tokens(std::string_view metric, const PolicySnapshot& policy, TextWriter& out) {
    Label name = {"policy", policy.name};
    for (const UsageMeter& meter : kTokenMeters) {
        write_sample(metric, name, {"type", meter.name}, policy.totals.*meter.sum, out);
    }
}

void write_units(std::string_view metric, const PolicySnapshot& policy, TextWriter& out) {
    Label name = {"policy", policy.name};
    for (const UsageMeter& meter : kUnitMeters) {
        write_sample(metric, name, {"type", meter.name}, policy.totals.*meter.sum, out);
    }
}

/** Writes one value in a unit. */
void write_amount_sample(std::string_view metric, Label label, Measure measure, uint64_t amount,
                         TextWriter& out) {
    out.text(metric);
    out.text("{");
    write_label(label, out);
    out.text("} ");
    write_amount(measure, amount, out);
    out.text("\n");
}

/** Writes one value of what the policy counts. */
void write_amount_sample(std::string_view metric, const PolicySnapshot& policy, uint64_t amount,
                         TextWriter& out) {
    write_amount_sample(metric, {"policy", policy.name}, policy.measure, amount, out);
}

void write_charged(std::string_view metric, const PolicySnapshot& policy, TextWriter& out) {
    write_amount_sample(metric, policy, policy.totals.settled, out);
}

void write_charged_today(std::string_view metric, const PolicySnapshot& policy, TextWriter& out) {
    write_amount_sample(metric, policy, policy.charged_today, out);
}

void write_reserved(std::string_view metric, const PolicySnapshot& policy, TextWriter& out) {
    write_amount_sample(metric, policy, policy.load.reserved, out);
}

/** A policy that has charged nothing yet has no ratio. */
void write_reserve_ratio(std::string_view metric, const PolicySnapshot& policy, TextWriter& out) {
    if (policy.totals.settled != 0) {
        out.text(metric);
        out.text("{");
        write_label({"policy", policy.name}, out);
        out.text("} ");
        out.thousandths(policy.totals.reserve_ratio());
        out.text("\n");
    }
}

void write_overshoot(std::string_view metric, const PolicySnapshot& policy, TextWriter& out) {
    write_amount_sample(metric, policy, policy.totals.overshoot, out);
}

void write_missing(std::string_view metric, const PolicySnapshot& policy, TextWriter& out) {
    write_sample(metric, {"policy", policy.name}, {}, policy.totals.usage_missing, out);
}

void write_cut(std::string_view metric, const PolicySnapshot& policy, TextWriter& out) {
    write_sample(metric, {"policy", policy.name}, {}, policy.totals.cut, out);
}

void write_lowered(std::string_view metric, const PolicySnapshot& policy, TextWriter& out) {
    write_sample(metric, {"policy", policy.name}, {}, policy.totals.output_lowered, out);
}

void write_in_flight(std::string_view metric, const PolicySnapshot& policy, TextWriter& out) {
    write_sample(metric, {"policy", policy.name}, {}, policy.load.in_flight, out);
}

void write_warnings(std::string_view metric, const PolicySnapshot& policy, TextWriter& out) {
    write_sample(metric, {"policy", policy.name}, {}, policy.totals.warned, out);
}

void write_waiting(std::string_view metric, const PolicySnapshot& policy, TextWriter& out) {
    write_sample(metric, {"policy", policy.name}, {}, policy.load.waiting, out);
}

/** Writes a name that has another one behind it. */
void write_suffixed(std::string_view metric, std::string_view suffix, Label label,
                    TextWriter& out) {
    out.text(metric);
    out.text(suffix);
    out.text("{");
    write_label(label, out);
}

void write_wait_seconds(std::string_view metric, const PolicySnapshot& policy, TextWriter& out) {
    const Label name = {"policy", policy.name};
    uint64_t count = 0;
    for (const WaitMeter& meter : kWaitMeters) {
        count += policy.totals.*meter.sum;
        write_suffixed(metric, "_bucket", name, out);
        out.text(",");
        write_label({"le", meter.in_seconds}, out);
        out.text("} ");
        out.number(count);
        out.text("\n");
    }
    write_suffixed(metric, "_sum", name, out);
    out.text("} ");
    out.thousandths(policy.totals.waited_millis);
    out.text("\n");
    write_suffixed(metric, "_count", name, out);
    out.text("} ");
    out.number(count);
    out.text("\n");
}

bool every(const PolicySnapshot&) {
    return true;
}
bool counts_tokens(const PolicySnapshot& policy) {
    return policy.counts_tokens;
}
/** The policy reserves and charges tokens. */
bool charges_tokens(const PolicySnapshot& policy) {
    return policy.counts_tokens && !counts_money(policy);
}
bool has_turns(const PolicySnapshot& policy) {
    return !policy.wait.empty();
}
bool warns(const PolicySnapshot& policy) {
    return policy.warn != 0;
}
bool counts_in_flight(const PolicySnapshot& policy) {
    return policy.counts_in_flight;
}

void write_model_tokens(std::string_view metric, const ModelView& model, TextWriter& out) {
    const Label name = {"model", model.name()};
    write_sample(metric, name, {"type", "input"}, model.total.input, out);
    write_sample(metric, name, {"type", "output"}, model.total.output, out);
    write_sample(metric, name, {"type", "cached_input"}, model.total.cached_input, out);
}

void write_model_answers(std::string_view metric, const ModelView& model, TextWriter& out) {
    write_sample(metric, {"model", model.name()}, {}, model.total.answers, out);
}

void write_model_cost(std::string_view metric, const ModelView& model, TextWriter& out) {
    write_amount_sample(metric, {"model", model.name()}, Measure::kMoney, model.total.cost, out);
}

void write_model_cost_today(std::string_view metric, const ModelView& model, TextWriter& out) {
    write_amount_sample(metric, {"model", model.name()}, Measure::kMoney, model.today.cost, out);
}

void write_entries(std::string_view metric, const ZoneSnapshot& zone, TextWriter& out) {
    write_sample(metric, {"zone", zone.name}, {}, zone.entries, out);
}

void write_capacity(std::string_view metric, const ZoneSnapshot& zone, TextWriter& out) {
    write_sample(metric, {"zone", zone.name}, {}, zone.capacity, out);
}

void write_evictions(std::string_view metric, const ZoneSnapshot& zone, TextWriter& out) {
    write_sample(metric, {"zone", zone.name}, {"kind", "idle"}, zone.idle_evictions, out);
    write_sample(metric, {"zone", zone.name}, {"kind", "live"}, zone.live_evictions, out);
}

void write_state_failed(std::string_view metric, const ZoneSnapshot& zone, TextWriter& out) {
    if (zone.has_state) {
        write_sample(metric, {"zone", zone.name}, {}, zone.state_failed ? 1 : 0, out);
    }
}

void write_state_failures(std::string_view metric, const ZoneSnapshot& zone, TextWriter& out) {
    if (zone.has_state) {
        write_sample(metric, {"zone", zone.name}, {}, zone.state_failures, out);
    }
}

void write_state_saved(std::string_view metric, const ZoneSnapshot& zone, TextWriter& out) {
    if (zone.has_state) {
        uint64_t seconds = static_cast<uint64_t>(zone.state_saved_at) / 1000;
        write_sample(metric, {"zone", zone.name}, {}, seconds, out);
    }
}

}  // namespace

const PolicyMetric kPolicyMetrics[] = {
    {{"ai_limit_requests_total", "counter",
      "Requests that the policy took part in: passed, rejected by it, or rejected on a dry run."},
     every,
     write_requests},
    {{"ai_limit_rejections_total", "counter",
      "Rejected requests by reason: they may pass after a wait, never as they are, or their key is "
      "blocked."},
     every,
     write_rejections},
    {{"ai_limit_tokens_total", "counter",
      "LLM tokens that requests under the policy used. Input and output include the other types."},
     counts_tokens,
     write_tokens},
    {{"ai_limit_units_total", "counter",
      "Images, searches and seconds of sound that requests under the policy used."},
     counts_tokens,
     write_units},
    {{"ai_limit_reserved_tokens", "gauge",
      "LLM tokens that are reserved for requests that have not ended."},
     charges_tokens,
     write_reserved},
    {{"ai_limit_charged_tokens_total", "counter",
      "LLM tokens that ended requests were charged, as the policy weighs them."},
     charges_tokens,
     write_charged},
    {{"ai_limit_cost_usd_total", "counter", "US dollars that ended requests were charged."},
     counts_money,
     write_charged},
    {{"ai_limit_cost_usd_today", "gauge",
      "US dollars that requests were charged that ended today, by the policy's time zone."},
     counts_money,
     write_charged_today},
    {{"ai_limit_reserved_usd", "gauge",
      "US dollars that are reserved for requests that have not ended."},
     counts_money,
     write_reserved},
    {{"ai_limit_reserve_ratio", "gauge",
      "What ended requests had reserved for each token or dollar that they were charged."},
     counts_tokens,
     write_reserve_ratio},
    {{"ai_limit_overshoot_tokens_total", "counter", "LLM tokens that were used above the limit."},
     charges_tokens,
     write_overshoot},
    {{"ai_limit_overshoot_usd_total", "counter", "US dollars that were used above the limit."},
     counts_money,
     write_overshoot},
    {{"ai_limit_usage_missing_total", "counter",
      "Answers that did not say what they used, and were charged by estimate."},
     counts_tokens,
     write_missing},
    {{"ai_limit_cut_total", "counter",
      "Streams that were ended because the policy had no more room for them."},
     counts_tokens,
     write_cut},
    {{"ai_limit_max_output_lowered_total", "counter",
      "Admitted requests whose limit of output was lowered or set by ai_limit_max_output."},
     counts_tokens,
     write_lowered},
    {{"ai_limit_warnings_total", "counter",
      "How often a key has passed the part of its limit that warn= names."},
     warns,
     write_warnings},
    {{"ai_limit_in_flight", "gauge", "Requests in flight."}, counts_in_flight, write_in_flight},
    {{"ai_limit_waiting", "gauge", "Requests that wait for their turn."}, has_turns, write_waiting},
    {{"ai_limit_wait_seconds", "histogram",
      "How long requests that had to wait for their turn have waited."},
     has_turns,
     write_wait_seconds},
};
const size_t kPolicyMetricCount = sizeof(kPolicyMetrics) / sizeof(kPolicyMetrics[0]);

const ZoneMetric kZoneMetrics[] = {
    {{"ai_limit_zone_entries", "gauge", "Entries in the zone, one or two for a key of a policy."},
     write_entries},
    {{"ai_limit_zone_capacity", "gauge", "Entries that the zone has room for."}, write_capacity},
    {{"ai_limit_zone_evictions_total", "counter",
      "Entries that made room for others: idle ones had come back completely, live ones counted."},
     write_evictions},
    {{"ai_limit_state_failed", "gauge",
      "Whether the zone's state file could not be saved the last time: a restart would forget."},
     write_state_failed},
    {{"ai_limit_state_failures_total", "counter", "How often a state file could not be saved."},
     write_state_failures},
    {{"ai_limit_state_saved_timestamp_seconds", "gauge",
      "When the zone's state file was saved last, in seconds since 1970; 0 before the first time."},
     write_state_saved},
};
const size_t kZoneMetricCount = sizeof(kZoneMetrics) / sizeof(kZoneMetrics[0]);

const ModelMetric kModelMetrics[] = {
    {{"ai_limit_model_answers_total", "counter",
      "Answers of the model that were charged. \"other\" stands for all but the 32 models used "
      "most."},
     false,
     write_model_answers},
    {{"ai_limit_model_tokens_total", "counter",
      "LLM tokens that answers of the model used. Input includes the cached one."},
     false,
     write_model_tokens},
    {{"ai_limit_model_cost_usd_total", "counter", "US dollars that answers of the model cost."},
     true,
     write_model_cost},
    {{"ai_limit_model_cost_usd_today", "gauge",
      "US dollars that answers of the model cost that ended today."},
     true,
     write_model_cost_today},
};
const size_t kModelMetricCount = sizeof(kModelMetrics) / sizeof(kModelMetrics[0]);

void write_family(const Metric& metric, TextWriter& out) {
    out.text("# HELP ");
    out.text(metric.name);
    out.text(" ");
    out.text(metric.help);
    out.text("\n# TYPE ");
    out.text(metric.name);
    out.text(" ");
    out.text(metric.type);
    out.text("\n");
}

void write_sample(std::string_view metric, Label first, Label second, uint64_t value,
                  TextWriter& out) {
    out.text(metric);
    if (!first.name.empty()) {
        out.text("{");
        write_label(first, out);
        if (!second.name.empty()) {
            out.text(",");
            write_label(second, out);
        }
        out.text("}");
    }
    out.text(" ");
    out.number(value);
    out.text("\n");
}

namespace {

constexpr Metric kRedisUp = {"ai_limit_redis_up", "gauge",
                             "Whether Redis is there: 0 while this nginx decides without it."};
constexpr Metric kRedisCommands = {
    "ai_limit_redis_commands_total", "counter",
    "Commands that were sent: answered, answered by an error, or never answered."};
constexpr Metric kRedisDuration = {"ai_limit_redis_command_duration_seconds", "histogram",
                                   "From sending a command to its answer."};
// Its name before, which stays for one version.
constexpr Metric kRedisSeconds = {"ai_limit_redis_seconds", "histogram",
                                  "The same as ai_limit_redis_command_duration_seconds."};

void write_histogram(const Metric& metric, const RedisSnapshot& redis, TextWriter& out) {
    write_family(metric, out);
    uint64_t sum = 0;
    for (size_t i = 0; i < kTrafficBuckets; ++i) {
        sum += redis.buckets[i];
        out.text(metric.name);
        out.text("_bucket{le=\"");
        if (i < kTrafficBuckets - 1) {
            write_micros(kTrafficBounds[i], out);
        } else {
            out.text("+Inf");
        }
        out.text("\"} ");
        out.number(sum);
        out.text("\n");
    }
    out.text(metric.name);
    out.text("_sum ");
    write_micros(redis.micros, out);
    out.text("\n");
    out.text(metric.name);
    out.text("_count ");
    out.number(sum);
    out.text("\n");
}

}  // namespace

void write_redis_metrics(const RedisSnapshot& redis, TextWriter& out) {
    write_family(kRedisUp, out);
    write_sample(kRedisUp.name, {}, {}, redis.is_up ? 1 : 0, out);
    write_family(kRedisCommands, out);
    write_sample(kRedisCommands.name, {"result", "ok"}, {}, redis.answered, out);
    write_sample(kRedisCommands.name, {"result", "error"}, {}, redis.refused, out);
    write_sample(kRedisCommands.name, {"result", "lost"}, {}, redis.lost, out);
    write_histogram(kRedisDuration, redis, out);
    write_histogram(kRedisSeconds, redis, out);
}

}  // namespace ai_limit
