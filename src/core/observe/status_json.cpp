#include "core/observe/status_json.h"

namespace ai_limit {

namespace {

void write_requests(const PolicyTotals& totals, JsonWriter& json) {
    json.open("requests", '{');
    json.number("passed", totals.passed);
    json.number("rejected", totals.rejected);
    json.number("rejected_dry_run", totals.rejected_dry_run);
    json.close('}');
    json.open("rejections", '{');
    json.number("wait", totals.rejected_for_now());
    json.number("never", totals.rejected_never);
    json.number("blocked", totals.rejected_blocked);
    json.close('}');
}

/** Writes what answers used, and what of that was reserved and charged. Money has an object of its
 * own. */
void write_usage(const PolicySnapshot& policy, JsonWriter& json) {
    json.open("tokens", '{');
    each_usage_meter(
        [&](const UsageMeter& meter) { json.number(meter.name, policy.totals.*meter.sum); });
    if (counts_money(policy)) {
        json.close('}');
        json.open("money", '{');
    }
    const bool is_money = counts_money(policy);
    json.amount(is_money ? "spent" : "charged", policy.measure, policy.totals.settled);
    json.amount(is_money ? "spent_today" : "charged_today", policy.measure, policy.charged_today);
    json.amount("reserved", policy.measure, policy.load.reserved);
    json.thousandths("reserve_ratio", policy.totals.reserve_ratio());
    json.amount("overshoot", policy.measure, policy.totals.overshoot);
    json.text("overrun", policy.overrun);
    json.number("usage_missing", policy.totals.usage_missing);
    json.number("cut", policy.totals.cut);
    json.number("output_lowered", policy.totals.output_lowered);
    json.close('}');
}

/** Writes the parameters that say more about the limit. */
void write_details(const PolicySnapshot& policy, JsonWriter& json) {
    struct Detail {
        std::string_view name, text;
    };
    for (const Detail& detail : {Detail{"count", policy.count},
                                 {"burst", policy.burst},
                                 {"tz", policy.tz},
                                 {"wait", policy.wait},
                                 {"share", policy.share},
                                 {"weight", policy.weight}}) {
        if (!detail.text.empty()) {
            json.text(detail.name, detail.text);
        }
    }
    if (policy.warn != 0) {
        json.number("warn", policy.warn);
        json.number("warnings", policy.totals.warned);
    }
}

/** Writes a key, which is no secret if the configuration says it, and whether it is shortened. */
void write_key(const PolicySnapshot& policy, const ShownName& key, JsonWriter& json) {
    json.text("key", policy.one_key ? policy.key : key.view());
    json.truth("whole", policy.one_key || key.is_whole != 0);
}

void write_waiting_keys(const PolicySnapshot& policy, JsonWriter& json) {
    json.open("keys", '[');
    for (size_t i = 0; policy.waiting != nullptr && i < policy.waiting->count; ++i) {
        const WaitingKeyView& waiting = policy.waiting->keys[i];
        json.open('{');
        write_key(policy, waiting.key, json);
        json.number("waiting", waiting.count);
        json.thousandths("next_waited", static_cast<uint64_t>(waiting.waited));
        json.close('}');
    }
    json.close(']');
}

/** Writes how many requests wait for their turn, and how many have, with their whole wait in
 * seconds. */
void write_waits(const PolicySnapshot& policy, JsonWriter& json) {
    if (policy.wait.empty()) {
        return;
    }
    uint64_t ended = 0;
    for (const WaitMeter& meter : kWaitMeters) {
        ended += policy.totals.*meter.sum;
    }
    json.open("waits", '{');
    json.number("now", policy.load.waiting);
    json.number("ended", ended);
    json.thousandths("seconds", policy.totals.waited_millis);
    write_waiting_keys(policy, json);
    json.close('}');
}

/** Writes who shares keys, with each one's part. */
void write_sharers(const PolicySnapshot& policy, JsonWriter& json) {
    if (policy.sharers == nullptr) {
        return;
    }
    json.open("sharers", '[');
    for (size_t i = 0; i < policy.sharers->count; ++i) {
        const SharerRow& row = policy.sharers->rows[i];
        json.open('{');
        json.text("sharer", row.sharer.view());
        write_key(policy, row.key, json);
        json.number("weight", row.weight);
        json.amount("part", policy.measure, row.part);
        json.amount("used", policy.measure, row.used);
        json.amount("need", policy.measure, row.need);
        json.close('}');
    }
    json.close(']');
}

void write_steps(std::string_view name, const HistoryStep* steps, size_t count,
                 uint64_t HistoryStep::*part, JsonWriter& json) {
    json.open(name, '[');
    for (size_t i = 0; i < count; ++i) {
        json.number(steps[i].*part);
    }
    json.close(']');
}

void write_history(const Zone& zone, const PolicySnapshot& policy, JsonWriter& json) {
    HistoryStep steps[kShownSamples];
    size_t count = read_history(zone, policy.number, steps);
    json.open("history", '{');
    json.number("step", kSampleInterval / 1000);
    write_steps("passed", steps, count, &HistoryStep::passed, json);
    write_steps("rejected", steps, count, &HistoryStep::rejected, json);
    write_steps("rejected_dry_run", steps, count, &HistoryStep::rejected_dry_run, json);
    write_steps("tokens", steps, count, &HistoryStep::tokens, json);
    if (counts_money(policy)) {
        json.open("money", '[');
        for (size_t i = 0; i < count; ++i) {
            json.amount(policy.measure, steps[i].charged);
        }
        json.close(']');
    }
    json.close('}');
}

/** `unit`: what the counts are. */
void write_keys(std::string_view name, const PolicySnapshot& policy, const TopKey* keys,
                size_t count, Measure unit, JsonWriter& json) {
    json.open(name, '[');
    for (size_t i = 0; i < count; ++i) {
        json.open('{');
        json.text("key", policy.one_key ? policy.key : keys[i].shown());
        if (keys[i].label.size != 0) {
            json.text("label", keys[i].label.view());
        }
        json.amount("count", unit, keys[i].count);
        json.truth("whole", policy.one_key || keys[i].name.is_whole != 0);
        json.close('}');
    }
    json.close(']');
}

void write_top_keys(const Zone& zone, const PolicySnapshot& policy, uint64_t epoch,
                    JsonWriter& json) {
    const Measure charges = counts_money(policy) ? Measure::kMoney : Measure::kTokens;
    json.open("top_keys", '{');
    TopKey keys[kShownTopKeys];
    const auto write = [&](std::string_view name, TopMeasure measure, Measure unit) {
        size_t count =
            read_top_keys(*zone.top_keys(policy.number), measure, epoch, keys, kShownTopKeys);
        write_keys(name, policy, keys, count, unit, json);
    };
    write("requests", TopMeasure::kRequests, Measure::kRequests);
    write("refusals", TopMeasure::kRefusals, Measure::kRequests);
    write(facts_of(charges).name, TopMeasure::kCharges, charges);
    if (counts_money(policy)) {
        size_t count =
            read_day_keys(*zone.day_keys(policy.number), policy.day, keys, kShownTopKeys);
        write_keys("money_today", policy, keys, count, charges, json);
    }
    json.close('}');
}

void write_near_keys(const PolicySnapshot& policy, JsonWriter& json) {
    if (policy.near == nullptr) {
        return;
    }
    json.open("near", '[');
    for (size_t i = 0; i < policy.near->count; ++i) {
        const NearKey& one = policy.near->keys[i];
        json.open('{');
        write_key(policy, one.key.name, json);
        if (one.key.label.size != 0) {
            json.text("label", one.key.label.view());
        }
        json.amount("limit", one.said.measure, one.said.limit);
        json.amount("remaining", one.said.measure, one.said.remaining);
        json.number("reset", seconds_rounded_up(one.said.reset));
        json.close('}');
    }
    json.close(']');
}

void write_model_use(std::string_view name, const ModelUse& use, bool has_prices,
                     JsonWriter& json) {
    json.open(name, '{');
    json.number("answers", use.answers);
    json.number("input", use.input);
    json.number("cached_input", use.cached_input);
    json.number("output", use.output);
    if (has_prices) {
        json.amount("spent", Measure::kMoney, use.cost);
    }
    json.close('}');
}

}  // namespace

void write_zone_json(const ZoneSnapshot& zone, JsonWriter& json) {
    json.open('{');
    json.text("name", zone.name);
    json.number("size", zone.bytes);
    json.number("entries", zone.entries);
    json.number("capacity", zone.capacity);
    json.open("evictions", '{');
    json.number("idle", zone.idle_evictions);
    json.number("live", zone.live_evictions);
    json.close('}');
    json.number("no_room", zone.zone_full);
    if (zone.has_state) {
        json.open("state", '{');
        json.truth("failed", zone.state_failed);
        json.number("failures", zone.state_failures);
        json.number("saved_at", static_cast<uint64_t>(zone.state_saved_at) / 1000);
        json.close('}');
    }
    json.close('}');
}

void write_policy_json(const Zone& zone, const PolicySnapshot& policy, Millis monotonic,
                       JsonWriter& json) {
    json.open('{');
    json.text("name", policy.name);
    json.text("zone", policy.zone);
    json.text("key", policy.key);
    json.text("algorithm", policy.algorithm);
    json.text("measure", facts_of(policy.measure).name);
    json.text("limit", policy.limit);
    write_details(policy, json);
    json.text("phase", policy.phase);
    json.text("sync", policy.sync);
    json.truth("dry_run", policy.dry_run);
    write_requests(policy.totals, json);
    write_waits(policy, json);
    write_sharers(policy, json);
    if (policy.counts_tokens) {
        write_usage(policy, json);
    }
    if (policy.counts_in_flight) {
        json.number("in_flight", policy.load.in_flight);
    }
    json.number("errors", policy.totals.errors);
    write_history(zone, policy, json);
    write_top_keys(zone, policy, epoch_of(monotonic), json);
    write_near_keys(policy, json);
    json.close('}');
}

void write_model_json(const ModelView& model, bool has_prices, JsonWriter& json) {
    json.open('{');
    json.text("model", model.name());
    write_model_use("today", model.today, has_prices, json);
    write_model_use("total", model.total, has_prices, json);
    json.close('}');
}

void write_redis_json(const RedisSnapshot& redis, std::string_view sync,
                      std::string_view on_failure, JsonWriter& json) {
    json.open('{');
    json.truth("up", redis.is_up);
    json.text("sync", sync);
    json.text("on_failure", on_failure);
    json.number("nodes", redis.nodes);
    json.open("commands", '{');
    json.number("ok", redis.answered);
    json.number("error", redis.refused);
    json.number("lost", redis.lost);
    json.close('}');
    json.close('}');
}

}  // namespace ai_limit
