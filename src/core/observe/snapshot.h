#pragma once

// The data that an operator sees, in plain form: gathered once, and written as JSON (status_json.h)
// or for Prometheus (metrics_text.h).

#include "core/observe/history.h"
#include "core/observe/meters.h"
#include "core/observe/models.h"
#include "core/observe/sharer_names.h"
#include "core/observe/top_keys.h"
#include "core/turns/longest_queues.h"

namespace ai_limit {

struct ZoneSnapshot {
    std::string_view name;
    uint64_t bytes;  // for entries, as configured
    uint64_t entries, capacity;
    uint64_t idle_evictions, live_evictions;
    uint64_t zone_full;       // keys for which there was none
    uint64_t unknown_prices;  // answers of models that have no price
    bool has_state;           // it has a state file (state=), which the rest describes
    bool state_failed;        // it could not be saved the last time
    uint64_t state_failures;
    Millis state_saved_at;  // by the wall clock; 0: not since the zone was made
};

/** A sharer of a key: what it has of that, in what the policy counts. */
struct SharerRow {
    ShownName sharer, key;
    uint64_t part;  // 0: it is not active
    uint64_t used, need;
    uint32_t weight;
};

struct SharerRows {
    SharerRow rows[kNamedSharers];
    size_t count;
};

/** The texts are the configuration's. */
struct PolicySnapshot {
    std::string_view name, zone, key, phase, algorithm, sync;
    std::string_view limit;    // as configured: a rate, a number of slots, or a variable
    std::string_view count;    // as configured, or "total"; empty if it counts no tokens
    std::string_view wait;     // as configured; empty: requests do not wait for their turn
    std::string_view burst;    // as configured; empty: the number in the rate
    std::string_view tz;       // as configured, or "+00:00"; empty without calendar windows
    std::string_view share;    // as configured; empty: nobody shares a key
    std::string_view weight;   // as configured, or "1"; empty without share=
    std::string_view overrun;  // "debt", "cut"
    Measure measure;           // the last one if a variable holds the limit
    uint32_t warn;             // percent; 0: it does not warn
    bool dry_run;
    bool counts_tokens;  // it knows what answers use, and counts that in tokens or in money
    bool counts_in_flight;
    PolicyTotals totals;
    DayNumber day;           // today, by the policy's time zone
    uint64_t charged_today;  // of `settled` in the totals
    PolicyLoad load;
    uint32_t number;  // in the zone
    bool one_key;     // the configuration says the key itself, so it is shown whole

    // Only for /status, and nullptr where requests do not wait, or nobody shares keys.
    const WaitingKeyViews* waiting;
    const SharerRows* sharers;
    const NearKeys* near;  // nullptr: they are not shown
};

inline bool counts_money(const PolicySnapshot& policy) {
    return policy.measure == Measure::kMoney;
}

/** The models of all zones. */
struct ModelsSnapshot {
    std::string_view tz;  // by which their days begin
    bool has_prices;      // there is an ai_limit_prices
    ModelViews views;
};

struct RedisSnapshot {
    bool is_up;
    uint32_t nodes;  // that share policies, this one included; 0: not known
    uint64_t answered, refused, lost;
    uint64_t micros;
    uint64_t buckets[kTrafficBuckets];
};

constexpr size_t kShownTopKeys = 10;  // by each measure

ZoneSnapshot look_at(const Zone& zone);

/** All but whether it is there. */
RedisSnapshot look_at_redis(const Zone& zone);

}  // namespace ai_limit
