#include "nginx/turns/decide_now.h"

#include "nginx/request/token_context.h"
#include "nginx/sharing/redis_decision.h"
#include "nginx/turns/queue_in_redis.h"

namespace ai_limit {

namespace {

bool has_sharers_over_nodes(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (one.charges[i].sharer != nullptr && one.charges[i].sharer->over_nodes) {
            return true;
        }
    }
    return false;
}

/** Has Redis compare with parts. The service of a request that waits starts where it would have
 * started when Redis was asked first, or others would be served before it for ever. */
ngx_int_t describe_sharers(ngx_http_request_t* r, Decision* one) {
    if (!has_sharers_over_nodes(*one)) {
        return NGX_OK;
    }
    if (one->sharers == nullptr) {
        one->sharers =
            static_cast<RedisSharer*>(ngx_pcalloc(r->pool, one->count * sizeof(RedisSharer)));
        return one->sharers != nullptr ? NGX_OK : NGX_ERROR;
    }
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        RedisSharer* sharer = &one->sharers[i];
        sharer->floor = sharer->floor != 0 ? sharer->floor : sharer->served;
    }
    return NGX_OK;
}

ngx_int_t begin_asking(ngx_http_request_t* r, const PolicySet& set, Decision* one,
                       const Waiter* waiter) {
    if (one->flights == nullptr) {
        one->flights =
            static_cast<Flight**>(ngx_pcalloc(r->pool, set.count * sizeof(*one->flights)));
        if (one->flights == nullptr) {
            return NGX_ERROR;
        }
    }
    if (describe_sharers(r, one) != NGX_OK) {
        return NGX_ERROR;
    }
    return set.turns ? describe_turns(r, one, waiter) : NGX_OK;
}

}  // namespace

ngx_int_t decide_now(ngx_http_request_t* r, const PolicySet& set, Decision* one,
                     const Waiter* waiter, bool* passes) {
    if (!uses_redis(*one)) {
        *passes = admit_step_by_step(one->charges, one->count, one->now);
        return NGX_OK;
    }
    RequestContext* context = find_context(r);
    RedisDecision** asked = &context->tokens->asked;
    if (*asked == nullptr && begin_asking(r, set, one, waiter) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    context->in_flight = true;
    return decide_in_redis(r, live_redis(r), one, asked, passes);
}

bool is_asked_about(ngx_http_request_t* r) {
    const RequestContext* context = find_context(r);
    return context->tokens != nullptr && context->tokens->asked != nullptr;
}

}  // namespace ai_limit
