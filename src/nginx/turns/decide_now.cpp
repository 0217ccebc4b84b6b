#include "nginx/turns/decide_now.h"

#include "nginx/request/token_context.h"
#include "nginx/sharing/charge_in_redis.h"
#include "nginx/sharing/redis_decision.h"
#include "nginx/turns/queue_in_redis.h"

namespace ai_limit {

namespace {

/** Has the service of a request that waits start where it would have started when Redis was asked
 * first, or others would be served before it for ever. */
void keep_starts(Decision* one) {
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        RedisSharer* sharer = &one->in_redis[i].sharer;
        sharer->floor = sharer->floor != 0 ? sharer->floor : sharer->served;
    }
}

ngx_int_t begin_asking(ngx_http_request_t* r, const PolicySet& set, Decision* one,
                       const Waiter* waiter) {
    if (one->in_redis == nullptr) {
        one->in_redis =
            static_cast<ChargeInRedis*>(ngx_pcalloc(r->pool, set.count * sizeof(ChargeInRedis)));
        if (one->in_redis == nullptr) {
            return NGX_ERROR;
        }
    }
    keep_starts(one);
    if (set.turns) {
        describe_turns(*live_redis(r), waiter, one);
    }
    return NGX_OK;
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
