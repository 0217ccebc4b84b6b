#include "nginx/turns/turns.h"

#include <new>

#include "clock.h"
#include "core/observe/meters.h"
#include "nginx/decision/count_requests.h"
#include "nginx/decision/report.h"
#include "nginx/request/request_context.h"
#include "nginx/turns/outlook.h"

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

/** Decides on a request that has just come. */
bool admit_newcomer(Decision* one) {
    if (one->dry_run || !must_wait(*one)) {
        return admit_step_by_step(one->charges, one->count, one->now);
    }
    would_admit(one->charges, one->count, one->now);
    mark_taken_turns(one, one->count, 0);
    return false;
}

Waiter* make_waiter(ngx_http_request_t* r, const PolicySet& set, Decision* one) {
    void* memory = ngx_pcalloc(r->pool, sizeof(Waiter));
    if (memory == nullptr) {
        return nullptr;
    }
    Waiter* waiter = new (memory) Waiter{};
    waiter->one = one;
    waiter->set = &set;
    waiter->began = one->now.monotonic;
    const Journal& journal = one->charges[0].use.access->journal;
    waiter->arrival = arrival_at(one->now.monotonic, journal.number());
    return waiter;
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
        if (would_admit(one->charges, one->count, one->now)) {
            waiter->policy()->use.verdict = Verdict::kRefused;
        }
        note_turn(look_ahead(*one, waiter->charge, one->now).wait, &waiter->policy()->use);
    }
    return NGX_OK;
}

}  // namespace

bool is_turn_of_others(Waiter* waiter) {
    Decision* one = waiter->one;
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        if (i != waiter->charge && has_turns(*one, i) &&
            must_queue(one->charges[i], one->now, waiter->arrival)) {
            would_admit(one->charges, one->count, one->now);
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
        return end_wait(context->waiter, passes);
    }
    *passes = admit_newcomer(one);
    ngx_uint_t charge = 0;
    if (*passes || one->dry_run || !choose_queue(one, -1, 0, &charge)) {
        return NGX_OK;
    }
    Waiter* waiter = make_waiter(r, set, one);
    if (waiter == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    const Millis most = one->parts[charge].policy->wait;
    waiter->charge = charge;
    waiter->until = waiter->began + most;
    if (join(waiter) != NGX_OK) {
        return NGX_OK;
    }
    const ngx_int_t rc = suspend(r, &waiter->wait, kWaitForTurn);
    if (rc != NGX_AGAIN) {
        leave(waiter);
        return rc;
    }
    set_deadline(&waiter->wait, static_cast<ngx_msec_t>(most));
    waiter->waited = context->waiter != nullptr ? context->waiter->waited : 0;
    context->waiter = waiter;
    return NGX_AGAIN;
}

}  // namespace ai_limit
