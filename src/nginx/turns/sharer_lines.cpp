#include "nginx/turns/sharer_lines.h"

#include <new>

#include "core/decide/sharer.h"
#include "nginx/sharing/charge_in_redis.h"

namespace ai_limit {

namespace {

bool came_later(const ngx_queue_t* link, const Waiter& waiter) {
    const Waiter* other = ngx_queue_data(link, Waiter, link);
    return other->arrival > waiter.arrival;
}

}  // namespace

uint64_t sharer_of(const PolicyCharge& charge) {
    return charge.sharer != nullptr ? charge.sharer->tag : 0;
}

SharerLine* find_line(WaitingKey* key, uint64_t sharer) {
    for (ngx_queue_t* link = ngx_queue_head(&key->lines); link != ngx_queue_sentinel(&key->lines);
         link = ngx_queue_next(link)) {
        SharerLine* line = ngx_queue_data(link, SharerLine, link);
        if (line->sharer == sharer) {
            return line;
        }
    }
    return nullptr;
}

SharerLine* make_line(WaitingKey* key, const PolicyCharge& charge) {
    void* memory = ngx_calloc(sizeof(SharerLine), ngx_cycle->log);
    if (memory == nullptr) {
        return nullptr;
    }
    SharerLine* line = new (memory) SharerLine{};
    line->key = key;
    line->sharer = sharer_of(charge);
    ngx_queue_init(&line->waiters);
    ngx_queue_insert_tail(&key->lines, &line->link);
    return line;
}

uint64_t served_until_now(const PolicyCharge& charge) {
    return charge.sharer != nullptr
               ? served_until_now(charge.use.access->journal.zone(), charge.sharer->key_tag)
               : 0;
}

void update_start(SharerLine* line, Now now) {
    const Waiter* first = line->first();
    PolicyCharge* charge = first->policy();
    if (has_order_of_redis(*charge)) {
        const ChargeInRedis* said = first->one->in_redis;
        line->start = said != nullptr ? said[first->charge].sharer.start : 0;
    } else if (charge->sharer != nullptr) {
        charge->sharer->floor = line->floor;
        line->start = next_service(*charge, now);
    }
}

SharerLine* next_line(const WaitingKey& key) {
    SharerLine* next = nullptr;
    for (ngx_queue_t* link = ngx_queue_head(&key.lines); link != ngx_queue_sentinel(&key.lines);
         link = ngx_queue_next(link)) {
        SharerLine* line = ngx_queue_data(link, SharerLine, link);
        if (!line->held && (next == nullptr || goes_before(line->turn(), next->turn()))) {
            next = line;
        }
    }
    return next;
}

const Waiter* any_waiter(const WaitingKey& key) {
    const SharerLine* line = ngx_queue_data(ngx_queue_head(&key.lines), SharerLine, link);
    return line->first();
}

uint64_t earliest_arrival(const WaitingKey& key) {
    uint64_t earliest = any_waiter(key)->arrival;
    for (ngx_queue_t* link = ngx_queue_head(&key.lines); link != ngx_queue_sentinel(&key.lines);
         link = ngx_queue_next(link)) {
        const SharerLine* line = ngx_queue_data(link, SharerLine, link);
        earliest = ngx_min(earliest, line->first()->arrival);
    }
    return earliest;
}

void insert(SharerLine* line, Waiter* waiter) {
    ngx_queue_t* before = ngx_queue_last(&line->waiters);
    while (before != ngx_queue_sentinel(&line->waiters) && came_later(before, *waiter)) {
        before = ngx_queue_prev(before);
    }
    ngx_queue_insert_after(before, &waiter->link);
}

}  // namespace ai_limit
