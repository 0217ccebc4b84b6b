#include "nginx/turns/waiting_keys.h"

#include <new>

#include "clock.h"
#include "core/decide/sharer.h"
#include "nginx/decision/report.h"
#include "nginx/request/request_context.h"
#include "nginx/sharing/redis_decision.h"
#include "nginx/turns/queue_in_redis.h"
#include "nginx/turns/sharer_lines.h"
#include "nginx/values/policy_values.h"

namespace ai_limit {

namespace {

// A key is looked at so often, in milliseconds, whatever is due and if nothing has changed.
constexpr Millis kLongestLook = 50;
constexpr Millis kMoreForEachKey = 4;
constexpr Millis kLongestOfMany = 20'000;
constexpr Millis kTogether = 20;  // those that are due within it wake the worker once

constexpr Millis kUnknownWait = 5;  // the time until the next look where nobody knows better

/** This worker's keys. */
struct WaitingKeys {
    static constexpr size_t kGroups = 1024;

    ngx_queue_t groups[kGroups];  // by their tags
    uint32_t count;
    bool is_made;

    ngx_queue_t* group_of(uint64_t tag) { return &groups[(tag >> 20 ^ tag) % kGroups]; }
};
WaitingKeys all;

WaitingKeys* waiting_keys() {
    if (!all.is_made) {
        for (ngx_queue_t& group : all.groups) {
            ngx_queue_init(&group);
        }
        all.is_made = true;
    }
    return &all;
}

WaitingKey* find_key(const PolicyCharge& charge) {
    ngx_queue_t* group = waiting_keys()->group_of(charge.use.tag);
    for (ngx_queue_t* link = ngx_queue_head(group); link != ngx_queue_sentinel(group);
         link = ngx_queue_next(link)) {
        WaitingKey* key = ngx_queue_data(link, WaitingKey, beside);
        if (key->tag == charge.use.tag && key->access == charge.use.access) {
            return key;
        }
    }
    return nullptr;
}

QueuedKey queued_key(const Waiter& waiter) {
    const Charge& use = waiter.policy()->use;
    return {use.tag, use.policy, view(waiter.one->parts[waiter.charge].key)};
}

WaitingKey* make_key(const Waiter& waiter) {
    const PolicyCharge& charge = *waiter.policy();
    KeyQueue* queue = nullptr;
    QueueOfWorker* place = join_queue(charge.use.access->journal, queued_key(waiter), &queue);
    void* memory = place != nullptr ? ngx_calloc(sizeof(WaitingKey), ngx_cycle->log) : nullptr;
    WaitingKey* key = memory != nullptr ? new (memory) WaitingKey{} : nullptr;
    if (key == nullptr || !begin_watch(&key->watch, charge.use.access, charge.use.tag)) {
        if (place != nullptr) {
            leave_queue(charge.use.access->journal.zone(), queue, place);
        }
        ngx_free(memory);
        return nullptr;
    }
    ngx_queue_init(&key->lines);
    key->access = charge.use.access;
    key->tag = charge.use.tag;
    key->queue = queue;
    key->place = place;
    key->seen_changes = queue->changes.load(std::memory_order_acquire);
    WaitingKeys* keys = waiting_keys();
    ngx_queue_insert_tail(keys->group_of(key->tag), &key->beside);
    ++keys->count;
    return key;
}

void free_key(WaitingKey* key) {
    if (key->access->journal.is_open()) {
        leave_queue(key->access->journal.zone(), key->queue, key->place);
        leave_in_redis(key->in_redis, *key->queue);
    }
    ngx_free(key->in_redis);
    end_watch(&key->watch);
    ngx_queue_remove(&key->beside);
    --waiting_keys()->count;
    ngx_free(key);
}

/** Tells the other workers. A key whose requests are all held by their parts holds up nobody. */
void tell_others(WaitingKey* key) {
    constexpr uint64_t kLast = uint64_t{1} << 46;
    const SharerLine* next = next_line(*key);
    const Turn turn = next != nullptr ? next->turn()
                                      : Turn{served_until_now(*any_waiter(*key)->policy()) + kLast,
                                             earliest_arrival(*key)};
    const Zone& zone = key->access->journal.zone();
    // A change by others in the meantime is still to be seen.
    key->seen_changes += tell(zone, key->queue, key->place, key->count, key->cost, turn);
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

enum class Tried { kPassed, kMoved, kHeld, kNoRoom, kAsked };

/** True if the policy has room for the request, and only the sharer's part refuses it. */
bool is_held_by_part(const PolicyCharge& charge) {
    return charge.sharer != nullptr && !charge.sharer->part.is_own &&
           fits(*charge.use.limit, used(*charge.use.limit, charge.use.state),
                least_left(charge.use));
}

/** An operator may have set another limit for a key since the request came. */
void renew_limits(ngx_http_request_t* r, Decision* one) {
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        const Part& part = one->parts[i];
        renew_override(r, *part.policy, view(part.key), &one->charges[i].use);
    }
}

Tried refuse(Waiter* waiter) {
    leave(waiter);
    waiter->stage = Waiter::kRefused;
    wake(&waiter->wait);
    return Tried::kMoved;
}

/** Has the request's phase ask Redis, which decides for all nodes. */
Tried ask(Waiter* waiter) {
    WaitingKey* key = waiter->line->key;
    key->in_redis = note_in_redis(waiter->r, *waiter->one, waiter->charge, key->in_redis);
    key->asked = waiter;
    waiter->stage = Waiter::kAsked;
    wake(&waiter->wait);
    return Tried::kAsked;
}

/** Has the first one wait for another of its policies. */
Tried move(Waiter* waiter) {
    leave(waiter);
    if (!move_on(waiter)) {
        return refuse(waiter);
    }
    return Tried::kMoved;
}

Tried try_first(SharerLine* line, Now now) {
    Waiter* waiter = line->first();
    Decision* one = waiter->one;
    one->now = now;
    if (waiter->wait.r->post_action) {
        return refuse(waiter);  // its client has gone
    }
    renew_limits(waiter->wait.r, one);
    if (is_turn_of_others(waiter)) {
        return move(waiter);
    }
    if (uses_redis(*one)) {
        return ask(waiter);
    }
    if (admit_step_by_step(one->charges, one->count, now)) {
        leave(waiter);
        pass(waiter);
        return Tried::kPassed;
    }
    if (waiter->policy()->use.verdict == Verdict::kRefused) {
        return is_held_by_part(*waiter->policy()) ? Tried::kHeld : Tried::kNoRoom;
    }
    return move(waiter);
}

/** With many keys, each is looked at less often while nothing changes, and not all at once. */
Millis longest_look(const WaitingKey& key) {
    const Millis many = kMoreForEachKey * waiting_keys()->count;
    const Millis most = ngx_min(kLongestLook + many, kLongestOfMany);
    const Millis now = now_by_nginx().monotonic;
    const Millis at = now + most - static_cast<Millis>(key.tag % 1024) * (most / 4) / 1024;
    return at + kTogether - at % kTogether - now;
}

/** The milliseconds until the first one of a line may have its turn. */
Millis next_look(const SharerLine* line, Now now) {
    const Waiter* waiter = line->first();
    const Decision& one = *waiter->one;
    PolicyCharge* charge = waiter->policy();
    charge->use.turn_in = 0;  // it is the first one now
    const Millis wait = describe_charge(*charge, *one.parts[waiter->charge].policy, now).wait;
    if (waits_over_nodes(one, waiter->charge)) {
        return until_next_question(*waiter, wait, waiting_keys()->count);
    }
    if (charge->use.limit->algorithm == Algorithm::kConcurrency) {
        return kLongestOfMany;  // when a slot comes back, the queue changes
    }
    return wait > 0 ? wait : kUnknownWait;
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
    const Journal& journal = key->access->journal;
    if (is_in_queue(journal, key->tag, key->queue, key->place)) {
        return;
    }
    KeyQueue* queue = nullptr;
    QueueOfWorker* place = join_queue(journal, queued_key(*any_waiter(*key)), &queue);
    if (place != nullptr) {
        if (place != key->place) {
            give_place_back(key->place, journal.number());
        }
        key->queue = queue;
        key->place = place;
    }
}

/** Notes how a line's first request fared that did not pass. */
void note_tried(Tried tried, SharerLine* line, Now now) {
    line->key->next_look = ngx_min(line->key->next_look, next_look(line, now));
    line->held = tried == Tried::kHeld;
}

/** Serves those whose turn it is. The key is gone when nobody waits for it any more. */
void serve_lines(WaitingKey* key, Now now) {
    key->is_looked_at = true;
    while (SharerLine* line = next_line(*key)) {
        if (waits_before(*key->queue, line->turn(), key->place)) {
            break;
        }
        const Tried tried = try_first(line, now);
        if (tried == Tried::kHeld || tried == Tried::kNoRoom) {
            note_tried(tried, line, now);
        }
        if (tried == Tried::kNoRoom || tried == Tried::kAsked || key->count == 0) {
            break;
        }
    }
    key->is_looked_at = false;
    if (key->count == 0) {
        free_key(key);
        return;
    }
    // The answer of Redis says who is next. To tell something else until then would have other
    // workers look, and these have this one look again, for ever.
    if (key->asked == nullptr) {
        tell_others(key);
    }
    look_in(&key->watch, key->next_look);
}

/** Returns true while Redis is asked about a request; the others wait for the answer. nginx does
 * not resume one whose client has gone, if there is a post_action. */
bool is_asking(WaitingKey* key) {
    Waiter* asked = key->asked;
    if (asked != nullptr && asked->r->post_action && key->count > 1) {
        leave(asked);
    }
    return key->asked != nullptr;
}

void look(WaitingKey* key, Now now) {
    if (is_asking(key)) {
        return;
    }
    rejoin(key);
    key->seen_changes = key->queue->changes.load(std::memory_order_acquire);
    begin_look(key, now);
    key->next_look = longest_look(*key);
    serve_lines(key, now);
}

WaitingKey* key_of(Watch* watch) {
    return reinterpret_cast<WaitingKey*>(watch);
}

}  // namespace

void look_if_changed(Watch* watch) {
    WaitingKey* key = key_of(watch);
    if (key->seen_changes != key->queue->changes.load(std::memory_order_acquire)) {
        look(key, now_by_nginx());
    }
}

void look_when_due(Watch* watch) {
    WaitingKey* key = key_of(watch);
    if (key->access->journal.is_open()) {
        look(key, now_by_nginx());
    }
}

ngx_int_t join(Waiter* waiter) {
    const PolicyCharge& charge = *waiter->policy();
    WaitingKey* key = find_key(charge);
    key = key != nullptr ? key : make_key(*waiter);
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
    waiter->cost = least_left(charge.use);
    line->cost += waiter->cost;
    key->cost += waiter->cost;
    update_start(line, now_by_nginx());
    if (!key->is_looked_at) {
        tell_others(key);
        look_soon(&key->watch);
    }
    return NGX_OK;
}

WaitingHere waiting_here(const PolicyCharge& charge) {
    WaitingKey* key = find_key(charge);
    const SharerLine* line = key != nullptr ? find_line(key, sharer_of(charge)) : nullptr;
    return line != nullptr ? WaitingHere{line->count, line->cost} : WaitingHere{};
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
    waiter->line = nullptr;
    if (key->asked == waiter) {
        key->asked = nullptr;
        look_soon(&key->watch);
    }
    ngx_queue_remove(&waiter->link);
    --line->count;
    --key->count;
    line->cost -= waiter->cost;
    key->cost -= waiter->cost;
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

void leave_served(Waiter* waiter) {
    WaitingKey* key = waiter->line->key;
    const bool was_last = key->count == 1;
    leave(waiter);
    if (!was_last) {
        look(key, now_by_nginx());
    }
}

void stay(Waiter* waiter) {
    SharerLine* line = waiter->line;
    WaitingKey* key = line->key;
    const Now now = now_by_nginx();
    key->asked = nullptr;
    waiter->stage = Waiter::kWaiting;
    const bool is_held = is_held_by_part(*waiter->policy());
    note_tried(is_held ? Tried::kHeld : Tried::kNoRoom, line, now);
    update_start(line, now);
    if (is_held) {
        serve_lines(key, now);  // its line is not looked at before the next look
        return;
    }
    tell_others(key);
    if (next_line(*key) == line &&
        key->seen_changes == key->queue->changes.load(std::memory_order_acquire)) {
        look_in(&key->watch, key->next_look);
    } else {
        look_soon(&key->watch);
    }
}

bool must_queue(const PolicyCharge& charge, Now now, uint64_t arrival) {
    if (has_order_of_redis(charge)) {
        return false;
    }
    const Journal& journal = charge.use.access->journal;
    const KeyQueue* queue = find_queue(journal.zone(), charge.use.tag);
    if (queue == nullptr) {
        return false;
    }
    const uint64_t order = charge.sharer != nullptr ? next_service(charge, now) : 0;
    const uint64_t place = arrival != 0 ? arrival : arrival_at(now.monotonic, journal.number());
    return waits_before(*queue, {order, place}, nullptr);
}

}  // namespace ai_limit
