#include "nginx/request_context.h"

#include <new>

#include "clock.h"
#include "core/buckets/served_keys.h"
#include "core/policies/redis_clock.h"
#include "core/reply/report.h"
#include "nginx/redis_decision.h"
#include "nginx/redis_flights.h"
#include "nginx/token_context.h"

namespace ai_limit {

namespace {

constexpr Millis kZoneFullWait = 1000;  // also where nobody can decide

/** Learns how long the request has had a slot; nobody knows that of a dead worker's requests. */
inline void learn_duration(const Charge& charge, Millis since) {
    PolicyRecord* record = charge.access->journal.zone().policy(charge.policy);
    learn_slot_duration(&record->slot_duration, now_by_nginx().monotonic - since);
}

}  // namespace

void note_if_served(const ngx_http_request_t& r, const Charge& charge) {
    ngx_uint_t status = r.headers_out.status;
    if (status >= NGX_HTTP_OK && status < NGX_HTTP_BAD_REQUEST) {
        note_served(charge.access->journal.zone(), hash_of(charge));
    }
}

namespace {

/** Ends what the request had in flight, when nginx frees the request. */
__attribute__((hot)) void clean_up(void* data) noexcept {
    RequestContext* context = static_cast<RequestContext*>(data);
    if (!context->in_flight) {
        return;
    }
    if (context->tokens != nullptr && context->tokens->asked != nullptr) {
        abandon(context->tokens->asked);
    }
    for (Decision* one = context->latest; one != nullptr; one = one->earlier) {
        for (ngx_uint_t i = 0; i < one->count; ++i) {
            Charge* charge = &one->charges[i];
            bool slot = charge->limit->algorithm == Algorithm::kConcurrency;
            bool in_redis = one->flights != nullptr && one->flights[i] != nullptr;
            // A worker that ends has given back everything already.
            if (slot && (charge->flight != nullptr || in_redis) &&
                charge->access->journal.is_open()) {
                if (charge->verdict == Verdict::kPassed) {
                    learn_duration(*charge, one->now.monotonic);
                    note_if_served(*context->request, *charge);
                }
                if (charge->flight != nullptr) {
                    end_flight(charge->access, charge->flight);
                }
            }
            charge->flight = nullptr;
            if (in_redis) {
                settle_flight(one->flights[i], 0);
            }
        }
    }
}

}  // namespace

Description describe_charge(const Charge& charge, const PolicyConf& policy, Now now) {
    // A charge that takes nothing now still needs something to be left.
    Amount requested = charge.settled_later && charge.cost == 0 ? 1 : charge.cost;
    if (in_redis(charge)) {
        now = redis_time(charge.access->journal.zone(), now);
    }
    Description said =
        describe(*charge.limit, charge.state, requested, charge.verdict == Verdict::kRefused, now);
    said.policy = view(policy.name);
    if (charge.verdict == Verdict::kUndecided) {
        said.undecided = true;
    }
    if (charge.verdict == Verdict::kZoneFull || charge.verdict == Verdict::kUndecided) {
        said.refused = true;
        said.wait = kZoneFullWait;
    }
    return said;
}

namespace {

size_t bytes_of_decision(ngx_uint_t count) {
    return sizeof(Decision) - (kMaxCharges - count) * sizeof(Charge) + count * sizeof(Part);
}

Decision* begin_decision(void* memory, Decision* earlier, ngx_uint_t count) {
    Decision* one = static_cast<Decision*>(memory);
    one->earlier = earlier;
    one->count = 0;
    one->spared = nullptr;
    one->flights = nullptr;
    one->parts = reinterpret_cast<Part*>(one->charges + count);
    return one;
}

/** Adds the policies of one decision, of those on a dry run only these that `which` wants. */
enum class Which { kFirm, kAll, kRefusingOnDryRun };

void add_to_report(Decision* one, Which which, Report* report) {
    for (ngx_uint_t i = 0; i < one->count && report->count < 2 * kMaxSetPolicies; ++i) {
        const Charge& charge = one->charges[i];
        bool dry_run = charge.dry_run || one->dry_run;
        if (one->parts[i].policy == nullptr) {
            continue;
        }
        if (which == Which::kFirm ? dry_run
                                  : which == Which::kRefusingOnDryRun &&
                                        !(dry_run && charge.verdict == Verdict::kRefused)) {
            continue;
        }
        Description* said = new (&report->all[report->count])
            Description(describe_charge(charge, *one->parts[i].policy, one->now));
        if (report->count == 0 || speaks_rather(*said, report->all[report->reported])) {
            report->reported = report->count;
            report->part = &one->parts[i];
        }
        ++report->count;
    }
}

}  // namespace

RequestContext* recover_context(ngx_http_request_t* r) {
    for (ngx_pool_cleanup_t* cleanup = r->pool->cleanup; cleanup != nullptr;
         cleanup = cleanup->next) {
        if (cleanup->handler == clean_up) {
            RequestContext* context = static_cast<RequestContext*>(cleanup->data);
            ngx_http_set_ctx(r, context, ngx_http_ai_limit_module);
            return context;
        }
    }
    return nullptr;
}

__attribute__((hot)) Decision* make_context(ngx_http_request_t* r, ngx_uint_t count,
                                            RequestContext** context) {
    // One piece of memory for both, since most requests are decided on once.
    void* memory = ngx_palloc(r->pool, sizeof(RequestContext) + bytes_of_decision(count));
    if (memory == nullptr) {
        return nullptr;
    }
    RequestContext* made = static_cast<RequestContext*>(memory);
    made->cleanup = {clean_up, memory, r->pool->cleanup};
    made->latest = nullptr;
    made->refusal_status = 0;
    made->refusal_uri_changes = 0;
    made->in_flight = false;
    made->request = r->main;
    made->tokens = nullptr;
    r->pool->cleanup = &made->cleanup;
    ngx_http_set_ctx(r, made, ngx_http_ai_limit_module);
    *context = made;
    return begin_decision(made + 1, nullptr, count);
}

Decision* add_decision(ngx_http_request_t* r, RequestContext* context, ngx_uint_t count) {
    void* memory = ngx_palloc(r->pool, bytes_of_decision(count));
    return memory != nullptr ? begin_decision(memory, context->latest, count) : nullptr;
}

void note_refused_undecided(ngx_http_request_t* r, ngx_uint_t status, Decision* one) {
    RequestContext* context = find_context(r);
    one->count = 0;
    one->refused = true;
    one->dry_run = false;
    context->latest = one;
    context->refusal_status = status;
    context->refusal_uri_changes = r->uri_changes;
}

bool would_refuse(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const Charge& charge = one.charges[i];
        if ((charge.dry_run || one.dry_run) && charge.verdict == Verdict::kRefused) {
            return true;
        }
    }
    return false;
}

bool make_report(RequestContext* context, bool with_dry_run, Report* report) {
    Decision* latest = context->latest;
    if (latest == nullptr) {
        return false;
    }
    if (latest->refused && !latest->dry_run) {
        report->refused = true;
        add_to_report(latest, Which::kFirm, report);
        return report->count != 0;
    }
    for (Decision* one = latest; with_dry_run && one != nullptr; one = one->earlier) {
        add_to_report(one, Which::kRefusingOnDryRun, report);
    }
    if (report->count != 0) {
        report->dry_run = true;
        return true;
    }
    for (Decision* one = latest; one != nullptr; one = one->earlier) {
        // An earlier location may have refused before error_page led here: its decision is left
        // out, as the request did not pass it.
        if (!one->refused || one->dry_run) {
            add_to_report(one, with_dry_run ? Which::kAll : Which::kFirm, report);
        }
    }
    return report->count != 0;
}

const Charge* find_charge(const Decision* latest, const PolicyConf* policy,
                          const Decision** decision) {
    for (const Decision* one = latest; one != nullptr; one = one->earlier) {
        for (ngx_uint_t i = 0; i < one->count; ++i) {
            if (one->parts[i].policy == policy) {
                if (decision != nullptr) {
                    *decision = one;
                }
                return &one->charges[i];
            }
        }
    }
    return nullptr;
}

bool describe_policy(RequestContext* context, const PolicyConf* policy, Description* said) {
    const Decision* one = nullptr;
    const Charge* charge = find_charge(context->latest, policy, &one);
    if (charge == nullptr) {
        return false;
    }
    *said = describe_charge(*charge, *policy, one->now);
    return true;
}

}  // namespace ai_limit
