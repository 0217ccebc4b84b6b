#include "nginx/sharing/redis_decision.h"

#include "clock.h"
#include "core/policies/redis_clock.h"
#include "nginx/sharing/node_decision.h"
#include "nginx/sharing/redis_ledgers.h"
#include "nginx/sharing/redis_outcome.h"
#include "nginx/sharing/redis_question.h"
#include "nginx/waiting/waiting.h"

namespace ai_limit {

namespace {

// Each command to Redis has a deadline, so the wait needs none.
constexpr WaitReason kWaitForRedis = {"Redis to decide", nullptr, nullptr};

/** Gives what Redis was asked for back to the node's shares: nothing of it passes by an answer. */
void end_questions(const RedisDecision& decision) {
    for (size_t i = 0; i < decision.count; ++i) {
        if (decision.charges[i].charge->ledger != nullptr) {
            end_question(*decision.charges[i].charge);
        }
    }
}

/** Ends the question once all parts are answered or lost. */
void all_done(RedisDecision* decision) {
    if (decision->abandoned) {
        // Settles them even if it is not known whether Redis has got the call.
        settle_flights(decision);
        free_decision(decision);
        return;
    }
    bool waits = decision->stage == RedisDecision::kAsked;
    decision->stage = RedisDecision::kDone;
    if (waits) {
        resume(&decision->wait);
    }
}

bool on_answer(RedisCommand* command, const Reply* reply) {
    RedisPart* part = static_cast<RedisPart*>(command);
    RedisDecision* decision = part->decision;
    Millis redis_now = 0;
    // The charges are the request's.
    part->answered = !decision->abandoned && reply != nullptr &&
                     read_take(*reply, part->charges, part->count, &part->passes, &redis_now);
    for (size_t i = 0; part->answered && i < part->count; ++i) {
        const Zone& zone = part->charges[i].charge->use.access->journal.zone();
        set_redis_clock(zone, now_by_nginx(), redis_now);
    }
    // Once the charges are gone, the answer cannot be checked against them.
    bool fits = part->answered || reply == nullptr ||
                (decision->abandoned && reply->kind() == ReplyKind::kText);
    if (--decision->awaited == 0) {
        all_done(decision);
    }
    return fits;
}

/** True if every Redis server that this decision needs is reachable. */
bool are_there(RedisDecision* decision) {
    for (size_t i = 0; i < decision->part_count; ++i) {
        RedisClient* client = decision->redis->router.client_for(decision->parts[i].slot);
        if (client == nullptr || !client->is_there()) {
            return false;
        }
    }
    return true;
}

/** Returns NGX_AGAIN while answers are awaited, NGX_OK if nobody can be asked and the decision is
 * done already, or an error. */
ngx_int_t ask(ngx_http_request_t* r, RedisDecision* decision) {
    RedisRouter* router = &decision->redis->router;
    decision->awaited = decision->part_count;
    size_t parts = decision->part_count;
    for (size_t i = 0; i < decision->count; ++i) {
        const RedisCharge& redis_charge = decision->charges[i];
        if (redis_charge.charge->ledger != nullptr) {
            sync_before(decision->redis, *redis_charge.charge, redis_charge.key);
        }
    }
    for (size_t i = 0; i < parts; ++i) {
        router->client_for(decision->parts[i].slot)->send(&decision->parts[i]);
    }
    if (decision->stage == RedisDecision::kDone) {
        return NGX_OK;
    }
    decision->stage = RedisDecision::kAsked;
    return suspend(r, &decision->wait, kWaitForRedis);
}

/** Asks Redis if it must be asked: `place` then is the decision, and NGX_OK says that it is done.
 * Otherwise it has been decided here, or returns an error. */
ngx_int_t begin_decision(ngx_http_request_t* r, LiveRedis* redis, Decision* one,
                         RedisDecision** place, bool* passes) {
    if (redis->conf->on_failure == OnFailure::kLocal && !redis->router.is_cluster() &&
        !redis->router.are_all_there()) {
        return decide_without_redis(redis, one, passes);
    }
    if (decide_by_share(redis, one, passes)) {
        return NGX_OK;
    }
    set_decider(one, Decider::kElsewhere);
    if (!would_admit(one->charges, one->count, one->now) && !one->dry_run) {
        *passes = false;
        return NGX_OK;
    }
    RedisDecision* decision = make_decision(redis, one, on_answer);
    if (decision == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (!are_there(decision)) {
        free_flights(decision);
        free_decision(decision);
        return decide_without_redis(redis, one, passes);
    }
    ngx_int_t rc = ask(r, decision);
    if (rc != NGX_OK && rc != NGX_AGAIN) {
        abandon(decision);
        return rc;
    }
    *place = decision;
    return rc;
}

}  // namespace

bool uses_redis(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (in_redis(one.charges[i].use)) {
            return true;
        }
    }
    return false;
}

ngx_int_t decide_in_redis(ngx_http_request_t* r, LiveRedis* redis, Decision* one,
                          RedisDecision** place, bool* passes) {
    if (*place == nullptr) {
        ngx_int_t rc = begin_decision(r, redis, one, place, passes);
        if (*place == nullptr || rc != NGX_OK) {
            return rc;
        }
    }
    RedisDecision* decision = *place;
    if (decision->stage != RedisDecision::kDone) {
        return NGX_AGAIN;
    }
    *place = nullptr;
    bool passes_there = false;
    bool answered = has_answer(*decision, &passes_there);
    if (answered) {
        *passes = take_answer(decision, one, passes_there);
    } else {
        give_back(decision, one->now);  // Redis may have received it
        end_questions(*decision);
    }
    free_decision(decision);
    return answered ? NGX_OK : decide_without_redis(redis, one, passes);
}

void abandon(RedisDecision* decision) {
    decision->abandoned = true;
    end_questions(*decision);
    if (decision->stage == RedisDecision::kDone) {
        all_done(decision);
    }
}

}  // namespace ai_limit
