#pragma once

// Calls of the script that decides in Redis, as src/redis/script/script.h describes them.

#include <string>
#include <vector>

#include "core/limits/fixed_window.h"
#include "core/limits/limit.h"
#include "redis_model.h"

namespace ai_limit {

struct RedisCall {
    std::vector<std::string> keys;
    std::vector<std::string> arguments;  // the name, and what is packed

    explicit RedisCall(const char* name) : arguments{name, ""} {}

    template <typename... Numbers>
    void add(Numbers... numbers) {
        (pack_number(static_cast<int64_t>(numbers), &arguments[1]), ...);
    }
    void add_text(const std::string& text) { pack_text(text, &arguments[1]); }
    void add_truth(bool truth) { arguments[1] += truth ? kPackedTrue : kPackedFalse; }
    void add_nothing(size_t times) { arguments[1].append(times, kPackedNil); }
};

/** The charge of one policy for a request. */
struct RedisCharge {
    const Limit* limit;
    std::string key;
    std::string member;  // "" for requests
    Amount cost = 1;
    bool dry_run = false;
    std::string seed = {};
};

struct RedisSettlement {
    const Limit* limit;
    std::string key;
    std::string member;
    Amount held;
    int64_t amount;
    std::string seed = {};
};

/** A node's report of what it has let through by itself. */
struct RedisTelling {
    const Limit* limit;
    std::string key;
    uint64_t life;
    uint64_t counted;
    uint64_t acknowledged;
    std::string seed = {};
};

inline std::string nodes_of(const std::string& key) {
    return key + ":nodes";
}

inline std::string flights_of(const std::string& key) {
    return key + ":flights";
}

inline std::string kind_of(const Limit& limit) {
    switch (limit.algorithm) {
        case Algorithm::kTokenBucket:
            return "b";
        case Algorithm::kSlidingWindow:
            return "s";
        case Algorithm::kFixedWindow:
            return "f";
        case Algorithm::kConcurrency:
        case Algorithm::kReservation:
        case Algorithm::kLedger:
        case Algorithm::kSharer:
        case Algorithm::kSharerOfSlots:
            break;
    }
    return "c";
}

/** p1 to p4; `wall` is the asking node's clock. */
inline void add_parameters(RedisCall* call, const Limit& limit, Millis wall) {
    switch (limit.algorithm) {
        case Algorithm::kTokenBucket:
            call->add(limit.refill_amount, limit.refill_millis, limit.fills_in);
            call->add_nothing(1);
            return;
        case Algorithm::kSlidingWindow:
            call->add(limit.period_length / 8);
            call->add_nothing(3);
            return;
        case Algorithm::kFixedWindow: {
            const auto at = [&](Millis time) {
                return fixed_window::window_at(limit.period, limit.time_zone, time);
            };
            const fixed_window::Window present = at(wall);
            call->add(at(Millis{present.start} * 1000 - 1).start, present.start, present.end,
                      at(Millis{present.end} * 1000).end);
            return;
        }
        case Algorithm::kConcurrency:
        case Algorithm::kReservation:
        case Algorithm::kLedger:
        case Algorithm::kSharer:
        case Algorithm::kSharerOfSlots:
            break;
    }
    call->add_nothing(4);
}

/** The arguments about a policy that are the same in all calls. */
inline void add_policy(RedisCall* call, const Limit& limit, Millis wall, const std::string& seed) {
    call->add_text(kind_of(limit));
    call->add(limit.capacity);
    add_parameters(call, limit, wall);
    call->add_text(seed);
}

inline void add_keys(RedisCall* call, const std::string& key, bool has_flights) {
    call->keys.push_back(key);
    if (has_flights) {
        call->keys.push_back(flights_of(key));
    }
}

inline RedisCall take_call(const std::vector<RedisCharge>& charges, Millis lease, Millis wall) {
    RedisCall call("take");
    call.add(lease, charges.size());
    for (const RedisCharge& charge : charges) {
        add_keys(&call, charge.key, !charge.member.empty());
        add_policy(&call, *charge.limit, wall, charge.seed);
        call.add_text(charge.member);
        call.add(charge.cost);
        call.add_truth(charge.dry_run);
    }
    return call;
}

inline RedisCall settle_call(const std::vector<RedisSettlement>& settlements, Millis wall) {
    RedisCall call("settle");
    call.add(settlements.size());
    for (const RedisSettlement& settlement : settlements) {
        add_keys(&call, settlement.key, !settlement.member.empty());
        add_policy(&call, *settlement.limit, wall, settlement.seed);
        call.add_text(settlement.member);
        call.add(settlement.held, settlement.amount);
    }
    return call;
}

/** `member` is to take the place of `former`, with `more` reserved. */
inline RedisCall grow_call(const Limit& limit, const std::string& key, const std::string& member,
                           Amount more, const std::string& former, Millis lease, Millis wall) {
    RedisCall call("grow");
    add_keys(&call, key, true);
    call.add(lease);
    add_policy(&call, limit, wall, "");
    call.add_text(member);
    call.add(more);
    call.add_text(former);
    return call;
}

inline RedisCall renew_call(const Limit& limit, const std::string& key,
                            const std::vector<std::string>& members, Millis lease) {
    RedisCall call("renew");
    add_keys(&call, key, true);
    call.add(lease, 1);
    call.add_text(kind_of(limit));
    call.add(members.size());
    for (const std::string& member : members) {
        call.add_text(member);
    }
    return call;
}

inline RedisCall tell_call(const std::string& node, const std::vector<RedisTelling>& deltas,
                           Millis wall) {
    RedisCall call("sync");
    call.add_text(node);
    call.add(deltas.size());
    for (const RedisTelling& ledger_delta : deltas) {
        call.keys.insert(call.keys.end(), {ledger_delta.key, nodes_of(ledger_delta.key)});
        add_policy(&call, *ledger_delta.limit, wall, ledger_delta.seed);
        call.add(ledger_delta.life, ledger_delta.counted, ledger_delta.acknowledged);
    }
    return call;
}

/** `name`: look or forget. */
inline RedisCall look_call(const char* name, const Limit& limit, const std::string& key,
                           const std::string& seed, Millis wall) {
    RedisCall call(name);
    add_keys(&call, key, limit.measure != Measure::kRequests);
    add_policy(&call, limit, wall, seed);
    return call;
}

inline RedisCall beat_call(const std::string& node, Millis lease) {
    RedisCall call("heartbeat");
    call.keys = {"ai_limit:nodes"};
    call.add_text(node);
    call.add(lease);
    return call;
}

}  // namespace ai_limit
