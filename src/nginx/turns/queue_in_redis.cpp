#include "nginx/turns/queue_in_redis.h"

#include "clock.h"
#include "core/policies/redis_clock.h"
#include "nginx/conf/redis_conf.h"
#include "nginx/sharing/charge_in_redis.h"
#include "nginx/sharing/node_decision.h"
#include "nginx/sharing/redis_flights.h"

namespace ai_limit {

struct KeyInRedis {
    LiveRedis* redis;
    size_t size;
    char text[kMaxRedisKey];

    std::string_view name() const { return {text, size}; }
};

namespace {

RedisTurn turn_of(const LiveRedis& redis, const Decision& one, ngx_uint_t i, const Waiter* waiter) {
    const Charge& use = one.charges[i].use;
    const Zone& zone = use.access->journal.zone();
    RedisTurn turn{};
    turn.node = redis.node;
    turn.waits = waiter == nullptr || waiter->charge == i;
    if (waiter != nullptr) {
        turn.arrival = redis_time(zone, {came_at(waiter->arrival), 0}).wall;
    }
    const KeyQueue* queue = find_queue(zone, use.tag);
    if (queue != nullptr) {
        const Waiting waiting = waiting_in(*queue);
        turn.count = waiting.count;
        turn.cost = waiting.cost;
    }
    if (waiter == nullptr) {
        turn.count += 1;
        turn.cost += least_left(use);
    }
    return turn;
}

/** Finds the name of a charge's key in Redis; false without memory. */
bool find_name(ngx_http_request_t* r, const Decision& one, ngx_uint_t charge, KeyInRedis* key) {
    const Charge& use = one.charges[charge].use;
    const Part& part = one.parts[charge];
    KeyHash hash;
    if (!hash_key_for_redis(view(part.key), hash_of(use), &hash)) {
        return false;
    }
    key->redis = live_redis(r);
    key->size = write_redis_key(view(key->redis->conf->servers.prefix), hash,
                                view(part.policy->name), use.limit->measure, key->text);
    return true;
}

void send_leave(const KeyInRedis& key) {
    Command* command = empty_command();
    write_leave(key.name(), key.redis->node, command);
    send_once(key.redis, key.name(), *command);
}

}  // namespace

bool waits_over_nodes(const Decision& one, ngx_uint_t charge) {
    const PolicyConf& policy = *one.parts[charge].policy;
    const Charge& use = one.charges[charge].use;
    return policy.wait != 0 && policy.in_redis && !use.dry_run && !one.dry_run &&
           !passes_by_share(policy, use);
}

void describe_turns(const LiveRedis& redis, const Waiter* waiter, Decision* one) {
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        one->in_redis[i].turn =
            waits_over_nodes(*one, i) ? turn_of(redis, *one, i, waiter) : RedisTurn{};
    }
}

Millis until_next_question(const Waiter& waiter, Millis wait, Millis more) {
    constexpr Millis kSoonest = 10;
    constexpr Millis kLatest = 300;  // Redis forgets the node's place after a second
    constexpr Millis kBlindly = 25;  // when something may come back that nobody knows of
    constexpr Millis kMostBlindly = 100;
    constexpr Millis kSlower = 128;  // each question takes memory of the request's pool
    const Decision& one = *waiter.one;
    const ngx_uint_t charge = waiter.charge;
    const Millis waited = one.now.monotonic - waiter.began;
    const Millis blindly = ngx_min(kBlindly + waited / kSlower, kMostBlindly);
    const PolicyCharge& policy = one.charges[charge];
    const bool is_behind = one.in_redis != nullptr && one.in_redis[charge].turn.is_behind;
    const bool returns = policy.use.limit->measure != Measure::kRequests;
    const Millis most = is_behind || returns ? blindly : kLatest;
    return ngx_min(ngx_max(ngx_min(wait, most), kSoonest) + more, kLatest);
}

KeyInRedis* note_in_redis(ngx_http_request_t* r, const Decision& one, ngx_uint_t charge,
                          KeyInRedis* before) {
    if (before != nullptr || !waits_over_nodes(one, charge)) {
        return before;
    }
    void* memory = ngx_alloc(sizeof(KeyInRedis), ngx_cycle->log);
    if (memory == nullptr || !find_name(r, one, charge, static_cast<KeyInRedis*>(memory))) {
        ngx_free(memory);
        return nullptr;
    }
    return static_cast<KeyInRedis*>(memory);
}

void leave_in_redis(ngx_http_request_t* r, const Decision& one, ngx_uint_t joined) {
    for (ngx_uint_t i = 0; one.in_redis != nullptr && i < one.count; ++i) {
        const Charge& use = one.charges[i].use;
        const RedisTurn& turn = one.in_redis[i].turn;
        if (i == joined || !turn.waits || use.verdict != Verdict::kRefused) {
            continue;
        }
        const KeyQueue* queue = find_queue(use.access->journal.zone(), use.tag);
        if (queue != nullptr && waiting_in(*queue).count != 0) {
            continue;
        }
        KeyInRedis key;
        if (find_name(r, one, i, &key)) {
            send_leave(key);
        }
    }
}

void leave_in_redis(const KeyInRedis* key, const KeyQueue& queue) {
    if (key != nullptr && waiting_in(queue).count == 0) {
        send_leave(*key);
    }
}

}  // namespace ai_limit
