#include "nginx/turns/waiting_keys.h"

#include <new>

#include "clock.h"
#include "core/decide/sharer.h"
#include "core/limits/slot_wait.h"
#include "nginx/decision/report.h"
#include "nginx/request/request_context.h"
#include "nginx/values/policy_values.h"

namespace ai_limit {

/** The requests of one sharer that wait for a key in this worker, or of all where keys have no
 * sharers, in the order of their arrival. */
struct SharerLine {
    WaitingKey* key;
    uint64_t sharer;  // the tag of its entry, 0 where keys have no sharers
    ngx_queue_t link;
    ngx_queue_t waiters;
    uint32_t count;
    Amount cost;
    uint64_t floor;  // of the first one's service
    bool held;       // its part does not let the first one pass
    uint64_t start;  // of the first one's service, when this was looked at last

    Waiter* first() const { return ngx_queue_data(ngx_queue_head(&waiters), Waiter, link); }
    Turn turn() const { return {start, first()->arrival}; }
};

/** A key for which requests wait in this worker. */
struct WaitingKey {
    ngx_queue_t link;
    ngx_queue_t lines;
    ZoneAccess* access;
    uint64_t tag;
    uint32_t policy;
    KeyQueue* queue;
    QueueOfWorker* place;
    uint32_t count;
    Amount cost;
    uint32_t seen_changes;
    Millis look_at;
    bool is_looked_at;
};

namespace {

constexpr ngx_msec_t kTick = 5;      // milliseconds between two looks at what has changed
constexpr Millis kLongestLook = 50;  // a key is looked at so often whatever is due

/** This worker's keys. */
struct WaitingKeys {
    ngx_queue_t keys;
    Timer ticks;
    bool is_made;
};
WaitingKeys all;

void look_at_all(WaitingKeys*);

WaitingKeys* waiting_keys() {
    if (!all.is_made) {
        ngx_queue_init(&all.keys);
        all.ticks.init<look_at_all>(&all, ngx_cycle->log);
        all.is_made = true;
    }
    return &all;
}

WaitingKey* find_key(const PolicyCharge& charge) {
    WaitingKeys* keys = waiting_keys();
    for (ngx_queue_t* link = ngx_queue_head(&keys->keys); link != ngx_queue_sentinel(&keys->keys);
         link = ngx_queue_next(link)) {
        WaitingKey* key = ngx_queue_data(link, WaitingKey, link);
        if (key->tag == charge.use.tag && key->access == charge.use.access) {
            return key;
        }
    }
    return nullptr;
}

WaitingKey* make_key(const PolicyCharge& charge) {
    KeyQueue* queue = nullptr;
    QueueOfWorker* place =
        join_queue(charge.use.access->journal, charge.use.tag, charge.use.policy, &queue);
    void* memory = place != nullptr ? ngx_calloc(sizeof(WaitingKey), ngx_cycle->log) : nullptr;
    if (memory == nullptr) {
        return nullptr;
    }
    WaitingKey* key = new (memory) WaitingKey{};
    ngx_queue_init(&key->lines);
    key->access = charge.use.access;
    key->tag = charge.use.tag;
    key->policy = charge.use.policy;
    key->queue = queue;
    key->place = place;
    ngx_queue_insert_tail(&waiting_keys()->keys, &key->link);
    return key;
}

void free_key(WaitingKey* key) {
    if (key->access->journal.is_open()) {
        leave_queue(key->queue, key->place);
    }
    ngx_queue_remove(&key->link);
    ngx_free(key);
}

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

/** Finds where the service of the line's first request starts, which others may have delayed. */
void update_start(SharerLine* line, Now now) {
    PolicyCharge* charge = line->first()->policy();
    if (charge->sharer != nullptr) {
        charge->sharer->floor = line->floor;
        line->start = next_service(*charge, now);
    }
}

/** The line whose turn is next in this worker, among those that are not held; nullptr: none. */
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

/** Tells the other workers. A key whose requests are all held by their parts holds up nobody. */
void tell_others(WaitingKey* key) {
    constexpr uint64_t kLast = uint64_t{1} << 46;
    const SharerLine* next = next_line(*key);
    const Turn turn =
        next != nullptr ? next->turn()
                        : Turn{served_until_now(*any_waiter(*key)->policy()) + kLast, ~uint64_t{0}};
    tell(key->queue, key->place, key->count, key->cost, turn);
    key->seen_changes = key->queue->changes.load(std::memory_order_acquire);
}

/** The decision holds from now on, even if the request ends before it goes on. */
void pass(Waiter* waiter) {
    Decision* one = waiter->one;
    RequestContext* context = find_context(waiter->wait.r);
    one->refused = false;
    context->latest = one;
    context->in_flight |= waiter->set->concurrency;
    waiter->stage = Waiter::kPassed;
    wake(&waiter->wait);
}

enum class Tried { kPassed, kMoved, kHeld, kNoRoom };

/** True if the policy has room for the request, and only the sharer's part refuses it. */
bool is_held_by_part(const PolicyCharge& charge) {
    return charge.sharer != nullptr && !charge.sharer->part.is_own &&
           fits(*charge.use.limit, used(*charge.use.limit, charge.use.state),
                least_left(charge.use));
}

/** An operator may have set another limit for a key since the request came. */
void renew_limits(ngx_http_request_t* r, Decision* one) {
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        renew_override(r, *one->parts[i].policy, &one->charges[i].use);
    }
}

Tried try_first(SharerLine* line, Now now) {
    Waiter* waiter = line->first();
    Decision* one = waiter->one;
    one->now = now;
    renew_limits(waiter->wait.r, one);
    if (admit_step_by_step(one->charges, one->count, now)) {
        leave(waiter);
        pass(waiter);
        return Tried::kPassed;
    }
    if (waiter->policy()->use.verdict == Verdict::kRefused) {
        return is_held_by_part(*waiter->policy()) ? Tried::kHeld : Tried::kNoRoom;
    }
    leave(waiter);
    if (!move_on(waiter)) {
        waiter->stage = Waiter::kRefused;
        wake(&waiter->wait);
    }
    return Tried::kMoved;
}

Millis next_look(const SharerLine* line, Now now) {
    const Waiter* waiter = line->first();
    const Millis wait =
        describe_charge(*waiter->policy(), *waiter->one->parts[waiter->charge].policy, now).wait;
    return now.monotonic + ngx_max(ngx_min(wait, kLongestLook), Millis{1});
}

void begin_look(WaitingKey* key, Now now) {
    for (ngx_queue_t* link = ngx_queue_head(&key->lines); link != ngx_queue_sentinel(&key->lines);
         link = ngx_queue_next(link)) {
        SharerLine* line = ngx_queue_data(link, SharerLine, link);
        line->held = false;
        update_start(line, now);
    }
}

/** A queue that this process found while another one gave it up is begun anew. */
void rejoin(WaitingKey* key) {
    if (key->queue->tag.load(std::memory_order_acquire) == key->tag) {
        return;
    }
    KeyQueue* queue = nullptr;
    QueueOfWorker* place = join_queue(key->access->journal, key->tag, key->policy, &queue);
    if (place != nullptr) {
        key->place->process.store(0, std::memory_order_release);
        key->queue = queue;
        key->place = place;
    }
}

/** Serves those whose turn it is. The key is gone when nobody waits for it any more. */
void look(WaitingKey* key, Now now) {
    key->is_looked_at = true;
    rejoin(key);
    begin_look(key, now);
    key->look_at = now.monotonic + kLongestLook;
    while (SharerLine* line = next_line(*key)) {
        if (waits_before(*key->queue, line->turn(), key->place)) {
            break;
        }
        const Tried tried = try_first(line, now);
        if (tried == Tried::kHeld || tried == Tried::kNoRoom) {
            key->look_at = ngx_min(key->look_at, next_look(line, now));
            line->held = tried == Tried::kHeld;
        }
        if (tried == Tried::kNoRoom) {
            break;
        }
        if (key->count == 0) {
            break;
        }
    }
    key->is_looked_at = false;
    if (key->count == 0) {
        free_key(key);
    } else {
        tell_others(key);
    }
}

bool is_due(const WaitingKey& key, Millis now) {
    return now >= key.look_at ||
           key.seen_changes != key.queue->changes.load(std::memory_order_acquire);
}

void look_at_all(WaitingKeys* keys) {
    const Now now = now_by_nginx();
    ngx_queue_t* next = nullptr;
    for (ngx_queue_t* link = ngx_queue_head(&keys->keys); link != ngx_queue_sentinel(&keys->keys);
         link = next) {
        next = ngx_queue_next(link);
        WaitingKey* key = ngx_queue_data(link, WaitingKey, link);
        if (key->access->journal.is_open() && is_due(*key, now.monotonic)) {
            look(key, now);
        }
    }
    if (!ngx_queue_empty(&keys->keys)) {
        keys->ticks.start(kTick);
    }
}

bool came_later(const ngx_queue_t* link, const Waiter& waiter) {
    const Waiter* other = ngx_queue_data(link, Waiter, link);
    return other->arrival > waiter.arrival;
}

/** Puts a waiter behind all of its line that came earlier; one that moves here keeps its place. */
void insert(SharerLine* line, Waiter* waiter) {
    ngx_queue_t* before = ngx_queue_last(&line->waiters);
    while (before != ngx_queue_sentinel(&line->waiters) && came_later(before, *waiter)) {
        before = ngx_queue_prev(before);
    }
    ngx_queue_insert_after(before, &waiter->link);
}

/** What waits for a key before a request that comes now. */
struct Ahead {
    Waiting all;
    uint32_t own_count;  // of the same sharer in this worker
    Amount own_cost;
};

Ahead look_ahead_of(const PolicyCharge& charge) {
    Ahead ahead{};
    const KeyQueue* queue = find_queue(charge.use.access->journal.zone(), charge.use.tag);
    if (queue != nullptr) {
        ahead.all = waiting_in(*queue);
    }
    WaitingKey* key = charge.sharer != nullptr ? find_key(charge) : nullptr;
    const SharerLine* line = key != nullptr ? find_line(key, sharer_of(charge)) : nullptr;
    if (line != nullptr) {
        ahead.own_count = line->count;
        ahead.own_cost = line->cost;
    }
    return ahead;
}

/** Nobody knows when requests in flight will end, but the durations of earlier ones are known. */
Millis wait_for_slot(const PolicyCharge& charge, const Ahead& ahead) {
    constexpr uint64_t kSixteenths = 16;
    const Charge& use = charge.use;
    const PolicyRecord* record = use.access->journal.zone().policy(use.policy);
    const uint64_t each = record->slot_duration.load(std::memory_order_relaxed) / kSixteenths;
    const uint64_t slots = ngx_max(use.limit->capacity, Amount{1});
    uint64_t before = ahead.all.count;
    if (charge.sharer != nullptr) {
        const uint64_t weights = ngx_max(charge.sharer->part.weights, uint64_t{1});
        before = ngx_min(before, ahead.own_count * weights / charge.sharer->weight);
    }
    return static_cast<Millis>(each * (before + 1) / slots);
}

Millis until_room(const Charge& use, Amount ahead, Now now) {
    const Limit& limit = *use.limit;
    const Amount wanted = used(limit, use.state) + ahead + least_left(use);
    return wanted > limit.capacity ? until_back(limit, use.state, wanted - limit.capacity, now) : 0;
}

Millis wait_for_rate(const PolicyCharge& charge, const Ahead& ahead, Now now) {
    const Charge& use = charge.use;
    if (least_left(use) > use.limit->capacity) {
        return kNever;
    }
    const Millis behind_all = until_room(use, ahead.all.cost, now);
    const SharerCharge* sharer = charge.sharer;
    if (sharer == nullptr || (!sharer->part.is_own && sharer->part.wait == 0)) {
        return behind_all;
    }
    const Millis of_part =
        sharer->part.wait + time_of_part(sharer_ask(charge), sharer->part.weights, ahead.own_cost);
    return ngx_min(behind_all, ngx_max(of_part, until_room(use, 0, now)));
}

/** With sharers, each has its part of the queue, and of that its part in this worker. */
bool has_room(const PolicyCharge& charge, uint32_t queue, const Ahead& ahead) {
    if (charge.sharer == nullptr) {
        return ahead.all.count < queue;
    }
    const uint64_t weights = ngx_max(charge.sharer->part.weights, uint64_t{1});
    const uint64_t part = uint64_t{queue} * charge.sharer->weight / weights;
    const uint32_t workers = ngx_max(ahead.all.processes, 1U);
    return ahead.own_count < ngx_max(part / workers, uint64_t{1});
}

}  // namespace

ngx_int_t join(Waiter* waiter) {
    const PolicyCharge& charge = *waiter->policy();
    WaitingKey* key = find_key(charge);
    key = key != nullptr ? key : make_key(charge);
    SharerLine* line = key != nullptr ? find_line(key, sharer_of(charge)) : nullptr;
    if (line == nullptr && key != nullptr) {
        line = make_line(key, charge);
    }
    if (line == nullptr) {
        if (key != nullptr && key->count == 0 && !key->is_looked_at) {
            free_key(key);
        }
        return NGX_DECLINED;
    }
    if (line->count == 0) {
        line->floor = served_until_now(charge);
    }
    insert(line, waiter);
    waiter->line = line;
    ++line->count;
    ++key->count;
    line->cost += least_left(charge.use);
    key->cost += least_left(charge.use);
    update_start(line, now_by_nginx());
    if (!key->is_looked_at) {
        tell_others(key);
        key->look_at = 0;
    }
    waiting_keys()->ticks.start_if_idle(kTick);
    return NGX_OK;
}

void serve(Waiter* waiter) {
    WaitingKey* key = waiter->line != nullptr ? waiter->line->key : nullptr;
    if (key != nullptr && !key->is_looked_at && key->access->journal.is_open()) {
        look(key, now_by_nginx());
    }
}

void leave(Waiter* waiter) {
    SharerLine* line = waiter->line;
    if (line == nullptr) {
        return;
    }
    WaitingKey* key = line->key;
    const Amount cost = least_left(waiter->policy()->use);
    waiter->line = nullptr;
    ngx_queue_remove(&waiter->link);
    --line->count;
    --key->count;
    line->cost -= cost;
    key->cost -= cost;
    if (line->count == 0) {
        ngx_queue_remove(&line->link);
        ngx_free(line);
    } else {
        line->floor = served_until_now(*line->first()->policy());
        update_start(line, now_by_nginx());
    }
    if (key->is_looked_at) {
        return;
    }
    if (key->count == 0) {
        free_key(key);
    } else if (key->access->journal.is_open()) {
        tell_others(key);
    }
}

Outlook look_ahead(const Decision& one, ngx_uint_t i, Now now) {
    const PolicyCharge& charge = one.charges[i];
    const Ahead ahead = look_ahead_of(charge);
    const bool for_slot = charge.use.limit->algorithm == Algorithm::kConcurrency;
    const Millis wait = for_slot ? wait_for_slot(charge, ahead) : wait_for_rate(charge, ahead, now);
    return {ngx_max(wait, Millis{1}), has_room(charge, one.parts[i].policy->queue, ahead)};
}

bool must_queue(const PolicyCharge& charge, Now now) {
    const Journal& journal = charge.use.access->journal;
    const KeyQueue* queue = find_queue(journal.zone(), charge.use.tag);
    if (queue == nullptr) {
        return false;
    }
    const uint64_t order = charge.sharer != nullptr ? next_service(charge, now) : 0;
    return waits_before(*queue, {order, arrival_at(now.monotonic, journal.number())}, nullptr);
}

}  // namespace ai_limit
