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

bool lacks_ledger(const Charge& charge, const Part& part) {
    return part.policy != nullptr && part.policy->syncs && in_redis(charge) && !charge.has_ledger;
}

/**
 * Gives a ledger to each policy that reports its count to other nodes and has none, since Redis was
 * asked for it and lost meanwhile: this node must report what it decides alone. There is room for
 * it.
 */
void add_ledgers(Decision* one) {
    ngx_uint_t missing = 0;
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        missing += lacks_ledger(one->charges[i], one->parts[i]) ? 1 : 0;
    }
    ngx_uint_t from = one->count;
    one->count += missing;
    for (ngx_uint_t to = one->count; to != from;) {
        Charge charge = one->charges[--from];
        const Part part = one->parts[from];
        const bool lacks = lacks_ledger(charge, part);
        charge.has_ledger |= lacks;
        one->charges[--to] = charge;
        one->parts[to] = part;
        if (!lacks) {
            continue;
        }
        if (charge.settled_later) {  // behind the ledger comes what is held
            --from;
            one->charges[--to] = one->charges[from];
            one->parts[to] = one->parts[from];
        }
        begin_charge(&one->charges[--to], part.policy->live->ledger, hash_of(charge));
        one->parts[to] = {nullptr, part.key};
    }
}

/** Notes that this node has decided alone: it reports that before Redis decides on the same key. */
void note_alone(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (one.charges[i].has_ledger) {
            const Zone& zone = one.charges[i].access->journal.zone();
            zone.header()->alone_until.store(redis_time(zone, one.now).monotonic + kReportedBefore,
                                             std::memory_order_relaxed);
        }
    }
}

/** Refuses for each shared policy; false if all of them are on a dry run, which never refuse. */
bool refuse_undecided(Decision* one) {
    bool refuses = false;
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        Charge* charge = &one->charges[i];
        bool undecided = in_redis(*charge) && one->parts[i].policy != nullptr && !charge->dry_run;
        charge->verdict = undecided ? Verdict::kUndecided : Verdict::kPassed;
        charge->state = {};
        refuses |= undecided;
    }
    return refuses && !one->dry_run;
}

/** True if Redis need not be asked for any of the policies before the share is spent. */
bool decides_by_share(LiveRedis* redis, const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const Charge& charge = one.charges[i];
        const PolicyConf* policy = one.parts[i].policy;
        if (in_redis(charge) && policy != nullptr && !passes_by_share(*policy, charge)) {
            return false;  // and then it is asked for all
        }
    }
    return redis->conf->on_failure == OnFailure::kLocal || redis->router.are_all_there();
}

bool is_unknown(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (one.charges[i].verdict == Verdict::kRefused && !one.charges[i].dry_run) {
            return false;
        }
    }
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (one.charges[i].verdict == Verdict::kUnknown) {
            return true;
        }
    }
    return false;
}

}  // namespace

void set_decider(Decision* one, Decider decider) {
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        if (in_redis(one->charges[i])) {
            one->charges[i].decider = decider;
            one->charges[i].verdict = Verdict::kPassed;  // whatever a part of Redis has said
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
    return policy.by_share &&
           (ask.limit->measure != Measure::kTokens || policy.reserve == Reserve::kOff);
}

bool may_have_been_alone(ngx_http_request_t* r, const Zone& zone) {
    int64_t until = zone.header()->alone_until.load(std::memory_order_relaxed);
    return (until != 0 && redis_time(zone, now_by_nginx()).monotonic < until) ||
           !live_redis(r)->router.are_all_there();
}

}  // namespace ai_limit
