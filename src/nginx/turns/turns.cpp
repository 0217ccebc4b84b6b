#include "nginx/turns/turns.h"

#include <new>

#include "clock.h"
#include "core/observe/meters.h"
#include "nginx/decision/count_requests.h"
#include "nginx/decision/report.h"
#include "nginx/request/request_context.h"
#include "nginx/sharing/charge_in_redis.h"
#include "nginx/sharing/node_decision.h"
#include "nginx/sharing/redis_decision.h"
#include "nginx/turns/decide_now.h"
#include "nginx/turns/outlook.h"
#include "nginx/turns/queue_in_redis.h"

namespace ai_limit {

namespace {

// A turn that comes in the last moment of a wait may come too late.
constexpr Millis kMargin = 10;

/** Refuses in the phase, where the refusal is written. */
void on_woken(Wait* wait, bool at_deadline) {
    Waiter* waiter = reinterpret_cast<Waiter*>(wait);
    if (waiter->stage == Waiter::kWaiting) {
        if (!at_deadline) {
            return;
        }
        serve(waiter);
        if (waiter->stage == Waiter::kWaiting) {
            leave(waiter);
            waiter->stage = Waiter::kRefused;
        }
    }
    resume(wait);
}

void count_this_wait(const Waiter& waiter, Millis now) {
    const PolicyConf& policy = *waiter.one->parts[waiter.charge].policy;
    count_wait(policy.live->counts, now - waiter.began);
}

void on_ended(Wait* wait) {
    Waiter* waiter = reinterpret_cast<Waiter*>(wait);
    leave(waiter);
    count_this_wait(*waiter, now_by_nginx().monotonic);
    if (waiter->stage == Waiter::kPassed) {
        count_results(*waiter->one);  // it has been charged
    }
    waiter->stage = Waiter::kOver;
}

/** The request ends. While Redis is asked about it, its wait is not for its turn. */
void on_ended_while_asked(void* data) noexcept {
    Waiter* waiter = static_cast<Waiter*>(data);
    if (waiter->stage == Waiter::kAsked) {
        leave(waiter);
        count_this_wait(*waiter, now_by_nginx().monotonic);
    }
}

constexpr WaitReason kWaitForTurn = {"its turn", on_woken, on_ended};

void note_turn(Millis wait, Charge* charge) {
    charge->turn_in = static_cast<uint32_t>(ngx_min(wait, Millis{UINT32_MAX}));
}

/** The policy that a refused request waits for: of those that refuse, the one with the longest
 * wait. False if it must be refused now. `left`: of its wait, if it has waited, else negative;
 * `arrival`: as look_ahead() takes it. */
bool choose_queue(Decision* one, Millis left, uint64_t arrival, ngx_uint_t* chosen) {
    Millis longest = -1;
    bool may_wait = true;
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        PolicyCharge* charge = &one->charges[i];
        if (charge->use.verdict == Verdict::kPassed || charge->use.dry_run) {
            continue;
        }
        const PolicyConf& policy = *one->parts[i].policy;
        if (charge->use.verdict != Verdict::kRefused || policy.wait == 0) {
            may_wait = false;
            continue;
        }
        const Outlook outlook = look_ahead(*one, i, one->now, arrival);
        note_turn(outlook.wait, &charge->use);
        const Millis most = left >= 0 ? ngx_min(left, policy.wait) : policy.wait;
        may_wait &= outlook.has_room && outlook.wait <= most - kMargin;
        if (outlook.wait > longest) {
            longest = outlook.wait;
            *chosen = i;
        }
    }
    return may_wait && longest >= 0;
}

/** True if requests wait for their turn by a policy. */
bool has_turns(const Decision& one, ngx_uint_t i) {
    return one.parts[i].policy->wait != 0 && !one.charges[i].use.dry_run;
}

/** Marks the policies as refusing, except `own`, for whose keys others wait who go first. Returns
 * true if there are none. */
bool mark_taken_turns(Decision* one, ngx_uint_t own, uint64_t arrival) {
    bool passes = true;
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        PolicyCharge* charge = &one->charges[i];
        if (i != own && has_turns(*one, i) && must_queue(*charge, one->now, arrival)) {
            charge->use.verdict = Verdict::kRefused;
            passes = false;
        }
    }
    return passes;
}

bool must_wait(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (has_turns(one, i) && must_queue(one.charges[i], one.now)) {
            return true;
        }
    }
    return false;
}

/** True if the request would pass as far as this node knows, were it its turn. */
bool would_pass(Decision* one) {
    set_decider(one, Decider::kElsewhere);
    return would_admit(one->charges, one->count, one->now);
}

/** Decides on a request that has just come. As decide_now(). */
ngx_int_t decide_on_newcomer(ngx_http_request_t* r, const PolicySet& set, Decision* one,
                             bool* passes) {
    if (one->dry_run || is_asked_about(r) || !must_wait(*one)) {
        return decide_now(r, set, one, nullptr, passes);
    }
    would_pass(one);
    mark_taken_turns(one, one->count, 0);
    *passes = false;
    return NGX_OK;
}

Waiter* make_waiter(ngx_http_request_t* r, const PolicySet& set, Decision* one) {
    void* memory = ngx_pcalloc(r->pool, sizeof(Waiter));
    if (memory == nullptr) {
        return nullptr;
    }
    Waiter* waiter = new (memory) Waiter{};
    waiter->r = r;
    waiter->one = one;
    waiter->set = &set;
    waiter->began = one->now.monotonic;
    const Journal& journal = one->charges[0].use.access->journal;
    waiter->arrival = arrival_at(one->now.monotonic, journal.number());
    if (uses_redis(*one)) {
        ngx_http_cleanup_t* cleanup = ngx_http_cleanup_add(r, 0);
        if (cleanup == nullptr) {
            return nullptr;
        }
        cleanup->handler = on_ended_while_asked;
        cleanup->data = waiter;
    }
    return waiter;
}

/** Has the waiter's policy refuse, unless some policy does already. */
void note_refused(const Waiter* waiter) {
    const Decision& one = *waiter->one;
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const Charge& use = one.charges[i].use;
        if (use.verdict != Verdict::kPassed && !use.dry_run) {
            return;
        }
    }
    waiter->policy()->use.verdict = Verdict::kRefused;
}

/** Suspends the request until something happens to its waiter. */
ngx_int_t wait_on(Waiter* waiter) {
    const ngx_int_t rc = suspend(waiter->r, &waiter->wait, kWaitForTurn);
    if (rc != NGX_AGAIN) {
        leave(waiter);
        return rc;
    }
    const Millis left = waiter->until - now_by_nginx().monotonic;
    set_deadline(&waiter->wait, static_cast<ngx_msec_t>(ngx_max(left, Millis{1})));
    return NGX_AGAIN;
}

/** Ends a wait in the phase. */
ngx_int_t end_wait(Waiter* waiter, bool* passes) {
    const Millis now = now_by_nginx().monotonic;
    waiter->waited += now - waiter->began;
    count_this_wait(*waiter, now);
    *passes = waiter->stage == Waiter::kPassed;
    waiter->stage = Waiter::kOver;
    if (!*passes) {
        Decision* one = waiter->one;
        one->now = now_by_nginx();
        // Redis has refused it, or nobody was asked.
        if (uses_redis(*one) || would_admit(one->charges, one->count, one->now)) {
            note_refused(waiter);
        }
        note_turn(look_ahead(*one, waiter->charge, one->now).wait, &waiter->policy()->use);
    }
    return NGX_OK;
}

/** Notes what Redis has said of other nodes, for requests that will join the queue. */
void note_others(const Waiter& waiter) {
    const Decision& one = *waiter.one;
    const Charge& use = waiter.policy()->use;
    KeyQueue* queue = find_queue(use.access->journal.zone(), use.tag);
    if (queue != nullptr && one.in_redis != nullptr) {
        const RedisTurn& turn = one.in_redis[waiter.charge].turn;
        note_elsewhere(queue, {turn.others, turn.others_cost});
    }
}

/** True if the policies have decided, and not the want of Redis or of memory. */
bool is_decided(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const Verdict verdict = one.charges[i].use.verdict;
        if (verdict != Verdict::kPassed && verdict != Verdict::kRefused) {
            return false;
        }
    }
    return true;
}

/** True if a request that Redis has refused at its turn waits on, for the same policy or another.
 */
bool waits_on(Waiter* waiter) {
    Decision* one = waiter->one;
    one->now = now_by_nginx();
    note_others(*waiter);
    if (one->now.monotonic >= waiter->until || !is_decided(*one)) {
        return false;
    }
    if (waiter->policy()->use.verdict == Verdict::kRefused) {
        stay(waiter);
        return true;
    }
    leave(waiter);
    waiter->stage = Waiter::kWaiting;
    return move_on(waiter);
}

/** Has Redis decide on a request whose turn it is here. */
ngx_int_t decide_on_waiter(Waiter* waiter, bool* passes) {
    const ngx_int_t rc = decide_now(waiter->r, *waiter->set, waiter->one, waiter, passes);
    if (rc == NGX_AGAIN) {
        return rc;
    }
    if (rc == NGX_OK && *passes) {
        waiter->stage = Waiter::kPassed;
        leave_served(waiter);
        return end_wait(waiter, passes);
    }
    if (rc == NGX_OK && waits_on(waiter)) {
        return wait_on(waiter);
    }
    leave(waiter);
    waiter->stage = Waiter::kRefused;
    return rc == NGX_OK ? end_wait(waiter, passes) : rc;
}

/** Has a request that has just come, and was refused, wait if it may: NGX_AGAIN then. */
ngx_int_t begin_wait_of_newcomer(ngx_http_request_t* r, const PolicySet& set, Decision* one) {
    ngx_uint_t charge = 0;
    if (!choose_queue(one, -1, 0, &charge)) {
        return NGX_OK;
    }
    Waiter* waiter = make_waiter(r, set, one);
    if (waiter == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    waiter->charge = charge;
    waiter->until = waiter->began + one->parts[charge].policy->wait;
    if (join(waiter) != NGX_OK) {
        return NGX_OK;
    }
    const ngx_int_t rc = wait_on(waiter);
    RequestContext* context = find_context(r);
    if (rc == NGX_AGAIN) {
        waiter->waited = context->waiter != nullptr ? context->waiter->waited : 0;
        context->waiter = waiter;
    }
    return rc;
}

}  // namespace

bool is_turn_of_others(Waiter* waiter) {
    Decision* one = waiter->one;
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        if (i != waiter->charge && has_turns(*one, i) &&
            must_queue(one->charges[i], one->now, waiter->arrival)) {
            would_pass(one);
            return waiter->policy()->use.verdict != Verdict::kRefused &&
                   !mark_taken_turns(one, waiter->charge, waiter->arrival);
        }
    }
    return false;
}

bool move_on(Waiter* waiter) {
    const Millis left = waiter->until - waiter->one->now.monotonic;
    return left > 0 && choose_queue(waiter->one, left, waiter->arrival, &waiter->charge) &&
           join(waiter) == NGX_OK;
}

Millis waited_for_turn(const RequestContext& context) {
    const Waiter* waiter = context.waiter;
    if (waiter == nullptr) {
        return 0;
    }
    const bool is_over = waiter->stage == Waiter::kOver;
    return waiter->waited + (is_over ? 0 : now_by_nginx().monotonic - waiter->began);
}

Decision* waiting_decision(ngx_http_request_t* r, const PolicySet& set) {
    const RequestContext* context = find_context(r);
    const Waiter* waiter = context != nullptr ? context->waiter : nullptr;
    return waiter != nullptr && waiter->stage != Waiter::kOver && waiter->set == &set ? waiter->one
                                                                                      : nullptr;
}

ngx_int_t decide_in_turn(ngx_http_request_t* r, const PolicySet& set, Decision* one, bool* passes) {
    RequestContext* context = find_context(r);
    if (waiting_decision(r, set) == one) {
        Waiter* waiter = context->waiter;
        return waiter->stage == Waiter::kAsked ? decide_on_waiter(waiter, passes)
                                               : end_wait(waiter, passes);
    }
    return decide_on_newcomer(r, set, one, passes);
}

ngx_int_t begin_wait(ngx_http_request_t* r, const PolicySet& set, Decision* one) {
    const RequestContext* context = find_context(r);
    const bool has_waited = context->waiter != nullptr && context->waiter->one == one;
    if (!set.turns || one->dry_run || has_waited) {
        return NGX_OK;
    }
    const ngx_int_t rc = begin_wait_of_newcomer(r, set, one);
    leave_in_redis(r, *one, rc == NGX_AGAIN ? context->waiter->charge : one->count);
    return rc;
}

}  // namespace ai_limit
