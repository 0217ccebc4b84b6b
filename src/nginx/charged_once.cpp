#include "nginx/charged_once.h"

#include <new>

#include "core/stored_answer.h"
#include "core/table.h"
#include "nginx/shared_zone.h"

namespace ai_limit {

namespace {

/** nginx frees this lock where a worker dies, and every change under it is a single store. */
class AnswersLock {
public:
    explicit AnswersLock(const ZoneConf& zone)
        : pool_(reinterpret_cast<ngx_slab_pool_t*>(zone.shm->shm.addr)) {
        ngx_shmtx_lock(&pool_->mutex);
    }
    ~AnswersLock() { ngx_shmtx_unlock(&pool_->mutex); }
    AnswersLock(const AnswersLock&) = delete;
    AnswersLock& operator=(const AnswersLock&) = delete;

private:
    ngx_slab_pool_t* pool_;
};

}  // namespace

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

ChargedOnce::ChargedOnce(ngx_http_request_t*, const TokenContext& tokens)
    : id_(tokens.answer_id != nullptr ? tokens.answer_id->id() : std::string_view()),
      fetches_(tokens.fetches_answer),
      tells_(tokens.basis == UsageBasis::kResponse) {}

bool ChargedOnce::is_charged(const ZoneConf& zone, std::string_view key) {
    if (id_.empty() || (!fetches_ && !tells_)) {
        return false;
    }
    const Zone& memory = zone.access->journal.zone();
    uint64_t hash = hash_answer(memory, hash_key(memory, key), id_);
    // Several policies may have the same key; the first of them has noted the answer.
    for (size_t i = 0; i < count_; ++i) {
        if (clients_[i].zone == &zone && clients_[i].hash == hash) {
            return clients_[i].charged;
        }
    }
    bool charged = look_up(zone, hash);
    if (count_ < kMaxSetPolicies) {
        clients_[count_++] = {&zone, hash, charged};
    }
    return charged;
}

bool ChargedOnce::look_up(const ZoneConf& zone, uint64_t hash) const {
    const Zone& memory = zone.access->journal.zone();
    Millis wall = now_by_nginx().wall;
    AnswersLock lock(zone);
    bool charged = fetches_ && is_answer_charged(memory, hash, wall);
    if (!charged && tells_) {
        note_charged_answer(memory, hash, wall);
    }
    return charged;
}

}  // namespace ai_limit
