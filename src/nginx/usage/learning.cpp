#include "nginx/usage/learning.h"

#include "core/learn/habit_sample.h"
#include "core/learn/habits.h"
#include "nginx/request/model_hash.h"
#include "nginx/request/request_body.h"
#include "nginx/sharing/charge_in_redis.h"
#include "nginx/sharing/redis_flights.h"

namespace ai_limit {

namespace {

TeachingTurns turns;

}  // namespace

void note_sample(ngx_http_request_t* r, TokenContext* tokens, const AnswerFacts& facts,
                 const AnswerCost& cost) {
    const RequestInfo* info = read_request_info(r);
    if (info == nullptr || info->unreadable() || tokens->fetches_answer) {
        return;
    }
    AskedOutput asked{};
    asked.is_limited = info->most_output(&asked.most);
    tokens->sample = habit_sample(facts, cost, asked);
}

Amount reserved_until_now(const Decision& one, ngx_uint_t i) {
    const FlightRecord* record = one.charges[i].reservation->flight;
    const Flight* flight = flight_of(one, i);
    const Amount here = record != nullptr ? Amount{record->amount} : 0;
    return flight != nullptr ? ngx_max(here, flight->reserved) : here;
}

Learning::Learning(TokenContext* tokens, Now now)
    : tokens_(tokens),
      wall_(now.wall),
      stands_for_(teaches(tokens->sample) ? stands_for(tokens->sample, tokens->habit, &turns) : 0) {
}

void Learning::teach_habit(const PolicyConf& policy, const Charge& use) {
    const bool learns = policy.reserve == Reserve::kAuto || policy.reserve == Reserve::kVariable;
    if (!learns || !teaches(tokens_->sample)) {
        return;
    }
    const Zone& zone = use.access->journal.zone();
    const uint64_t key = hash_of(use);
    // Policies with the same key are mostly neighbours.
    if (key == last_key_ && zone.header() == last_zone_) {
        return;
    }
    last_key_ = key;
    last_zone_ = zone.header();
    tokens_->sample.stands_for = policy.reserve == Reserve::kAuto ? stands_for_ : 1;
    note_use(zone, {key, model_hash(tokens_, zone)}, tokens_->sample, tokens_->habit, wall_);
}

}  // namespace ai_limit
