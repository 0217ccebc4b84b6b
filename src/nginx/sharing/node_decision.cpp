#include "nginx/sharing/node_decision.h"

#include "clock.h"
#include "core/policies/redis_clock.h"
#include "nginx/sharing/redis_ledgers.h"

namespace ai_limit {

namespace {

constexpr Millis kReportedBefore = 30'000;  // when Redis is back

// This node asks Redis about one of so many requests that it would refuse by what it knows: Redis
// may know better by now.
constexpr long kRefusalsPerQuestion = 16;

/**
 * Gives a ledger to each policy that reports its count to other nodes and has none, since Redis was
 * asked for it and lost meanwhile: this node must report what it decides alone. There is memory for
 * it.
 */
void add_ledgers(Decision* one) {
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        PolicyCharge* charge = &one->charges[i];
        const PolicyConf& policy = *one->parts[i].policy;
        if (policy.syncs && in_redis(charge->use) && charge->ledger == nullptr) {
            charge->ledger = one->more++;
            begin_charge(charge->ledger, policy.live->ledger, hash_of(charge->use));
        }
    }
}

/** Notes that this node has decided alone: it reports that before Redis decides on the same key. */
void note_alone(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (one.charges[i].ledger != nullptr) {
            const Zone& zone = one.charges[i].use.access->journal.zone();
            zone.header()->alone_until.store(redis_time(zone, one.now).monotonic + kReportedBefore,
                                             std::memory_order_relaxed);
        }
    }
}

/** Refuses in each policy that is in Redis. False if all of them are on a dry run. */
bool refuse_undecided(Decision* one) {
    bool refuses = false;
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        Charge* charge = &one->charges[i].use;
        bool undecided = in_redis(*charge) && !charge->dry_run;
        charge->verdict = undecided ? Verdict::kUndecided : Verdict::kPassed;
        charge->state = {};
        refuses |= undecided;
    }
    return refuses && !one->dry_run;
}

/** True if Redis need not be asked for any of the policies before the share is spent. */
bool decides_by_share(LiveRedis* redis, const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const Charge& charge = one.charges[i].use;
        if (in_redis(charge) && !passes_by_share(*one.parts[i].policy, charge)) {
            return false;  // and then it is asked for all
        }
    }
    return redis->conf->on_failure == OnFailure::kLocal || redis->router.are_all_there();
}

/** True if this node knows too little to decide, and refuses by no policy for another reason. */
bool is_unknown(const Decision& one) {
    bool unknown = false;
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const Charge& charge = one.charges[i].use;
        if (charge.verdict == Verdict::kRefused && !charge.dry_run) {
            return false;
        }
        unknown |= charge.verdict == Verdict::kUnknown;
    }
    return unknown;
}

}  // namespace

void set_decider(PolicyCharge* charge, Decider decider) {
    for (Charge* one : {charge->ledger, charge->reservation, &charge->use}) {
        if (one != nullptr) {
            one->decider = decider;
            one->verdict = Verdict::kPassed;
        }
    }
}

void set_decider(Decision* one, Decider decider) {
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        if (in_redis(one->charges[i].use)) {
            set_decider(&one->charges[i], decider);
        }
    }
}

ngx_int_t decide_without_redis(LiveRedis* redis, Decision* one, bool* passes) {
    if (redis->conf->on_failure == OnFailure::kReject && refuse_undecided(one)) {
        *passes = false;
        return NGX_OK;
    }
    bool alone = redis->conf->on_failure == OnFailure::kLocal;
    if (alone) {
        add_ledgers(one);
    }
    set_decider(one, alone ? Decider::kAlone : Decider::kElsewhere);
    if (alone) {
        note_alone(*one);
    }
    *passes = admit_step_by_step(one->charges, one->count, one->now);
    schedule_deltas(redis, one);
    return NGX_OK;
}

bool decide_by_share(LiveRedis* redis, Decision* one, bool* passes) {
    if (!decides_by_share(redis, *one)) {
        return false;
    }
    set_decider(one, Decider::kByShare);
    *passes = admit_step_by_step(one->charges, one->count, one->now);
    schedule_deltas(redis, one);
    return *passes || (!is_unknown(*one) && ngx_random() % kRefusalsPerQuestion != 0);
}

bool passes_by_share(const PolicyConf& policy, const Ask& ask) {
    const bool reserves = policy.reserve != Reserve::kOff || policy.overrun == Overrun::kCut;
    return policy.by_share && (!is_settled(ask.limit->measure) || !reserves);
}

bool may_have_been_alone(ngx_http_request_t* r, const Zone& zone) {
    int64_t until = zone.header()->alone_until.load(std::memory_order_relaxed);
    return (until != 0 && redis_time(zone, now_by_nginx()).monotonic < until) ||
           !live_redis(r)->router.are_all_there();
}

}  // namespace ai_limit
