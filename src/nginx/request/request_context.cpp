#include "nginx/request/request_context.h"

#include <new>

#include "clock.h"
#include "core/buckets/served_keys.h"
#include "core/decide/sharer.h"
#include "core/turns/queue.h"
#include "nginx/request/token_context.h"
#include "nginx/sharing/charge_in_redis.h"
#include "nginx/sharing/redis_decision.h"
#include "nginx/sharing/redis_flights.h"

namespace ai_limit {

namespace {

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

/** A worker that ends has given back everything already. */
inline void end_sharer_of(const PolicyCharge& charge) {
    if (charge.sharer != nullptr && charge.use.access->journal.is_open()) {
        end_sharer(charge);
    }
}

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
            Charge* charge = &one->charges[i].use;
            bool slot = charge->limit->algorithm == Algorithm::kConcurrency;
            bool in_redis = flight_of(*one, i) != nullptr;
            // A worker that ends has given back everything already.
            if (slot && (charge->flight != nullptr || in_redis) &&
                charge->access->journal.is_open()) {
                if (charge->verdict == Verdict::kPassed) {
                    learn_duration(*charge, one->now.monotonic);
                    note_if_served(*context->request, *charge);
                }
                if (charge->flight != nullptr) {
                    end_flight(charge->access, charge->flight);
                    note_room(charge->access->journal.zone(), charge->tag);
                }
            }
            charge->flight = nullptr;
            end_sharer_of(one->charges[i]);
            if (one->charges[i].reservation != nullptr) {
                one->charges[i].reservation->flight = nullptr;
            }
            if (in_redis) {
                settle_flight(flight_of(*one, i), 0);
            }
        }
    }
}

}  // namespace

namespace {

size_t bytes_of_decision(ngx_uint_t count) {
    return sizeof(Decision) - kMaxSetPolicies * sizeof(PolicyCharge) +
           count * (sizeof(PolicyCharge) + sizeof(Part));
}

Decision* begin_decision(void* memory, Decision* earlier, ngx_uint_t count) {
    Decision* one = static_cast<Decision*>(memory);
    one->earlier = earlier;
    one->count = 0;
    one->spared = nullptr;
    one->in_redis = nullptr;
    one->parts = reinterpret_cast<Part*>(one->charges + count);
    one->more = reinterpret_cast<Charge*>(one->parts + count);
    return one;
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
    made->waiter = nullptr;
    made->accounts = nullptr;
    r->pool->cleanup = &made->cleanup;
    ngx_http_set_ctx(r, made, ngx_http_ai_limit_module);
    *context = made;
    return begin_decision(made + 1, nullptr, count);
}

Decision* add_decision(ngx_http_request_t* r, RequestContext* context, ngx_uint_t count,
                       ngx_uint_t more) {
    void* memory = ngx_palloc(r->pool, bytes_of_decision(count) + more * sizeof(Charge));
    return memory != nullptr ? begin_decision(memory, context->latest, count) : nullptr;
}

void note_refused_undecided(ngx_http_request_t* r, ngx_uint_t status, Decision* one) {
    RequestContext* context = find_context(r);
    one->count = 0;
    one->refused = true;
    one->dry_run = false;
    context->latest = one;
    context->refusal_status = static_cast<uint32_t>(status);
    context->refusal_uri_changes = r->uri_changes & 0xf;
}

}  // namespace ai_limit
