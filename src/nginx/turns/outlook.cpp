#include "nginx/turns/outlook.h"

#include "core/decide/charge_entries.h"
#include "core/limits/slot_wait.h"
#include "core/sharers/part.h"
#include "core/turns/queue.h"
#include "nginx/sharing/charge_in_redis.h"
#include "nginx/turns/waiting_keys.h"
#include "nginx/upstream/account_use.h"

namespace ai_limit {

namespace {

constexpr Amount kMostPeriods = 1000;  // nobody waits for so long

/** What waits for a key before a request that comes now. */
struct Ahead {
    Waiting all;
    WaitingHere own;  // of the same sharer
};

Ahead look_ahead_of(const Decision& one, ngx_uint_t i) {
    const PolicyCharge& charge = one.charges[i];
    Ahead ahead{};
    const KeyQueue* queue = find_queue(charge.use.access->journal.zone(), charge.use.tag);
    WaitingElsewhere elsewhere{};
    if (queue != nullptr) {
        ahead.all = waiting_in(*queue);
        elsewhere = waiting_elsewhere(*queue);
    } else if (one.in_redis != nullptr) {
        elsewhere = {one.in_redis[i].turn.others, one.in_redis[i].turn.others_cost};
    }
    ahead.all.count += elsewhere.count;
    ahead.all.cost += elsewhere.cost;
    if (charge.sharer != nullptr) {
        ahead.own = waiting_here(charge);
    }
    return ahead;
}

/** Nobody knows when requests in flight will end, but the durations of earlier ones are known. */
Millis wait_for_slot(const PolicyCharge& charge, const Ahead& ahead) {
    constexpr uint64_t kSixteenths = 16;
    const Charge& use = charge.use;
    const PolicyRecord* record = use.access->journal.zone().policy(use.policy);
    const uint64_t each = record->slot_duration.load(std::memory_order_relaxed) / kSixteenths;
    const uint64_t slots = ngx_max(use.limit->capacity, Amount{1});
    uint64_t before = ahead.all.count;
    if (charge.sharer != nullptr) {
        const uint64_t weights = ngx_max(charge.sharer->part.weights, uint64_t{1});
        before = ngx_min(before, ahead.own.count * weights / charge.sharer->weight);
    }
    return static_cast<Millis>(each * (before + 1) / slots);
}

/** Returns what requests in flight have reserved of the charge's key. */
Amount reserved_by_others(const PolicyCharge& charge) {
    const Charge* reservation = charge.reservation;
    return reservation != nullptr ? used(*reservation->limit, reservation->state) : 0;
}

/** Returns the time until all that go before have been served and the charge fits. A window serves
 * its quota once in each period. What is reserved may be refunded at any moment. */
Millis until_room(const PolicyCharge& charge, Amount ahead, Now now) {
    const Charge& use = charge.use;
    const Limit& limit = *use.limit;
    now = now_of(use, now);
    const Amount taken = used(limit, use.state);
    const Amount wanted =
        taken - ngx_min(taken, reserved_by_others(charge)) + ahead + least_left(use);
    if (wanted <= limit.capacity) {
        return 0;
    }
    const Amount excess = wanted - limit.capacity;
    if (limit.algorithm == Algorithm::kTokenBucket) {
        return until_back(limit, use.state, excess, now);
    }
    const Amount periods = ngx_min((excess - 1) / limit.capacity, kMostPeriods);
    return until_back(limit, use.state, excess - periods * limit.capacity, now) +
           static_cast<Millis>(periods) * limit.period_length;
}

Millis wait_for_rate(const PolicyCharge& charge, const Ahead& ahead, Now now) {
    const Millis behind_all = until_room(charge, ahead.all.cost, now);
    const SharerCharge* sharer = charge.sharer;
    if (sharer == nullptr || (!sharer->part.is_own && sharer->part.wait == 0)) {
        return behind_all;
    }
    const Millis of_part =
        sharer->part.wait + time_of_part(sharer_ask(charge), sharer->part.weights, ahead.own.cost);
    return ngx_min(behind_all, ngx_max(of_part, until_room(charge, 0, now)));
}

/** With sharers, each has its part of the queue, and of that its part in this worker. */
bool has_room(const PolicyCharge& charge, uint32_t queue, const Ahead& ahead) {
    if (charge.sharer == nullptr) {
        return ahead.all.count < queue;
    }
    const uint64_t weights = ngx_max(charge.sharer->part.weights, uint64_t{1});
    const uint64_t part = uint64_t{queue} * charge.sharer->weight / weights;
    const uint32_t workers = ngx_max(ahead.all.processes, 1U);
    // Clients that name ever new sharers must not fill the memory.
    if (ahead.all.count >= 2 * uint64_t{queue}) {
        return false;
    }
    return ahead.own.count < ngx_max(part / workers, uint64_t{1});
}

}  // namespace

Outlook look_ahead(const Decision& one, ngx_uint_t i, Now now, uint64_t arrival) {
    const PolicyCharge& charge = one.charges[i];
    if (least_left(charge.use) > charge.use.limit->capacity) {
        return {kNever, true};
    }
    Ahead ahead = look_ahead_of(one, i);
    if (arrival != 0 && charge.sharer == nullptr && !must_queue(charge, now, arrival)) {
        ahead.all = {};
    }
    const bool for_slot = charge.use.limit->algorithm == Algorithm::kConcurrency;
    // Those who wait for the end of a cooldown follow each other at once when one has passed.
    const PolicyConf& policy = *one.parts[i].policy;
    const Millis wait = is_cooldown(policy) ? until_try(policy, charge.use, now.monotonic)
                        : for_slot          ? wait_for_slot(charge, ahead)
                                            : wait_for_rate(charge, ahead, now);
    return {ngx_max(wait, Millis{1}), has_room(charge, policy.queue, ahead)};
}

}  // namespace ai_limit
