#include "nginx/usage/charged_once.h"

#include <new>

#include "clock.h"
#include "core/usage/stored_answer.h"
#include "core/zone/table.h"
#include "zone_lock.h"

namespace ai_limit {

ngx_int_t watch_answer_id(ngx_http_request_t* r, TokenContext* tokens) {
    StoredAnswer kind = stored_answer(view(r->uri));
    if (kind == StoredAnswer::kNone) {
        return NGX_OK;
    }
    void* memory = ngx_palloc(r->pool, sizeof(AnswerIdReader));
    if (memory == nullptr) {
        return NGX_ERROR;
    }
    tokens->answer_id = new (memory) AnswerIdReader();
    tokens->fetches_answer = kind == StoredAnswer::kFetched;
    return NGX_OK;
}

ChargedOnce::ChargedOnce(const TokenContext& tokens)
    : id_(tokens.answer_id != nullptr ? tokens.answer_id->id() : std::string_view()),
      fetches_(tokens.fetches_answer),
      reports_(tokens.basis == UsageBasis::kResponse),
      estimated_(tokens.basis == UsageBasis::kEstimate),
      used_(tokens.used) {}

ChargedOnce::Before ChargedOnce::charge(const ZoneConf& zone, std::string_view key) {
    if (id_.empty() || (!fetches_ && !reports_ && !estimated_)) {
        return {};
    }
    const Zone& memory = zone.live->access.journal.zone();
    uint64_t hash = hash_answer(memory, hash_key(memory, key), id_);
    // Several policies may have the same key; the first of them has noted the answer.
    for (size_t i = 0; i < count_; ++i) {
        if (clients_[i].zone == &zone && clients_[i].hash == hash) {
            return clients_[i].before;
        }
    }
    Before before = look_up(zone, hash);
    if (count_ < kMaxSetPolicies) {
        clients_[count_++] = {&zone, hash, before};
    }
    return before;
}

ChargedOnce::Before ChargedOnce::look_up(const ZoneConf& zone, uint64_t hash) const {
    const Zone& memory = zone.live->access.journal.zone();
    Millis wall = now_by_nginx().wall;
    ZoneLock lock(*zone.shm);
    Before before;
    if (fetches_) {
        before.all = is_answer_charged(memory, hash, wall);
        before.part = charged_part(memory, hash, wall);
    }
    if (before.all) {
        return before;
    }
    if (reports_) {
        note_charged_answer(memory, hash, wall);
    } else if (estimated_ &&
               (used_.input > before.part.input || used_.output > before.part.output)) {
        ChargedPart part = {ngx_max(used_.input, before.part.input),
                            ngx_max(used_.output, before.part.output)};
        note_charged_part(memory, hash, part, wall);
    }
    return before;
}

}  // namespace ai_limit
