#include "nginx/sharing/redis_ledgers.h"

#include <unistd.h>

#include <cstdlib>

#include "clock.h"
#include "core/policies/redis_clock.h"
#include "nginx/sharing/redis_flights.h"

namespace ai_limit {

/** News of one key, in memory of their own. */
struct KeyDelta {
    ngx_rbtree_node_t place;  // its key: when it is due
    LedgerEntry entry;
    LedgerDelta ledger_delta;
    uint8_t losses;  // how often its report was lost
    uint16_t slot;
    size_t key_size;
    char key[kMaxRedisKey];
};

namespace {

constexpr ngx_msec_t kHeartbeatInterval = 1000;
constexpr ngx_msec_t kFirstHeartbeats = 250;  // before it is known how many nodes there are
constexpr ngx_msec_t kAwayInterval = 100;
constexpr ngx_msec_t kSoon = 2;
constexpr ngx_msec_t kLongestWait = 300;  // until a worker notices that it is to end
constexpr size_t kMostDeltas =
    50'000;  // of one worker; further ones wait for the key's next request

constexpr uint8_t kMostLosses = 3;  // while the worker ends

// Keys that were due and have not been answered yet: after Redis was away there is much to report,
// from all nodes, and decisions must not wait long behind it.
constexpr size_t kMostUnderWay = 4 * kMaxDeltas;

/** News under way. */
struct SyncCommand : RedisCommand {
    LiveRedis* redis;
    bool is_due;  // and not before its time
    size_t count;
    KeyDelta* deltas[kMaxDeltas];
};

struct HeartbeatCommand : RedisCommand {
    LiveRedis* redis;
};

/** Lists the deltas in the form that their call takes. */
void list_deltas(const SyncCommand& command, RedisDelta* deltas) {
    for (size_t i = 0; i < command.count; ++i) {
        const KeyDelta& delta = *command.deltas[i];
        deltas[i] = {&delta.entry, &delta.ledger_delta, {delta.key, delta.key_size}, {}, 0};
    }
}

bool is_there(LiveRedis* redis, uint16_t slot) {
    RedisClient* client = redis->router.client_for(slot);
    return client != nullptr && client->is_there();
}

ngx_msec_t longest(Millis a, ngx_msec_t b) {
    return ngx_max(static_cast<ngx_msec_t>(a), b);
}

void drop(KeyDelta* delta) {
    std::free(delta);
}

/** Returns the key whose delta is due first; nullptr if none waits. */
KeyDelta* first_delta(LiveRedis* redis) {
    ngx_rbtree_t* all = &redis->deltas;
    return all->root == all->sentinel
               ? nullptr
               : reinterpret_cast<KeyDelta*>(ngx_rbtree_min(all->root, all->sentinel));
}

ngx_msec_int_t until_due(const KeyDelta& delta) {
    return msec_until(delta.place.key);
}

void remove(LiveRedis* redis, KeyDelta* delta) {
    ngx_rbtree_delete(&redis->deltas, &delta->place);
    --redis->delta_count;
}

/** Puts a key's delta among those that wait, of which there is a maximum. */
void put_off(LiveRedis* redis, KeyDelta* delta, ngx_msec_t delay) {
    if (redis->delta_count == kMostDeltas || ngx_process != NGX_PROCESS_WORKER) {
        drop(delta);
        return;
    }
    delay = ngx_exiting ? 0 : delay;  // a worker that ends reports at once what it can
    delta->place.key = msec_now() + delay;
    ngx_rbtree_insert(&redis->deltas, &delta->place);
    ++redis->delta_count;
    if (redis->sync_timer.start_by(ngx_min(delay, kLongestWait))) {
        redis->sync_timer.hold_worker(true);
    }
}

void settle_deltas(SyncCommand* command, bool arrived) {
    Now now = now_by_nginx();
    for (size_t i = 0; i < command->count; ++i) {
        KeyDelta* delta = command->deltas[i];
        bool ends = command->redis->sync_ends || !delta->entry.access->journal.is_open() ||
                    (ngx_exiting && ++delta->losses == kMostLosses);
        if (arrived || ends || !must_send_again(delta->entry, now)) {
            drop(delta);
        } else {
            put_off(command->redis, delta, static_cast<ngx_msec_t>(delta->entry.interval));
        }
    }
    LiveRedis* redis = command->redis;
    redis->due_under_way -= command->is_due ? command->count : 0;
    std::free(command->bytes);
    std::free(command);
    if (!redis->sync_ends && first_delta(redis) != nullptr && redis->due_under_way == 0) {
        redis->sync_timer.post();
    }
}

bool on_synced(RedisCommand* done, const Reply* reply) {
    SyncCommand* command = static_cast<SyncCommand*>(done);
    RedisDelta deltas[kMaxDeltas];
    list_deltas(*command, deltas);
    Millis redis_now = 0;
    bool arrived = reply != nullptr && read_sync(*reply, deltas, command->count, &redis_now);
    Now now = now_by_nginx();
    for (size_t i = 0; arrived && i < command->count; ++i) {
        const LedgerEntry& entry = command->deltas[i]->entry;
        if (entry.access->journal.is_open()) {
            set_redis_clock(entry.access->journal.zone(), now, redis_now);
            acknowledge(entry, *deltas[i].ledger_delta, deltas[i].state, deltas[i].reserved, now);
        }
    }
    settle_deltas(command, arrived);
    return arrived || reply == nullptr;
}

SyncCommand* make_command(LiveRedis* redis, bool is_due) {
    SyncCommand* command = static_cast<SyncCommand*>(std::calloc(1, sizeof(SyncCommand)));
    if (command != nullptr) {
        command->redis = redis;
        command->is_due = is_due;
        command->is_script = true;
        command->is_background = true;
        command->done = on_synced;
    }
    return command;
}

/** Sends a command with its deltas. */
void send(SyncCommand* command) {
    RedisDelta deltas[kMaxDeltas];
    list_deltas(*command, deltas);
    command->redis->due_under_way += command->is_due ? command->count : 0;
    Command* words = empty_command();
    write_sync(command->redis->node, deltas, command->count, now_by_nginx(), words);
    command->bytes = words->format(&command->size);
    RedisClient* client = command->redis->router.client_for(command->deltas[0]->slot);
    if (command->bytes == nullptr || client == nullptr) {
        settle_deltas(command, false);
        return;
    }
    client->send(command);
}

/** Reads a delta into a command that has room; drops `delta` if there is nothing to report. */
void add_delta(SyncCommand* command, KeyDelta* delta) {
    if (delta->entry.access->journal.is_open() &&
        read_ledger(delta->entry, command->is_due, &delta->ledger_delta)) {
        command->deltas[command->count++] = delta;
    } else {
        drop(delta);
    }
}

/** Deltas of different slots of a cluster go in different calls. */
bool is_full(const SyncCommand& command, const KeyDelta& next) {
    return command.count == kMaxDeltas ||
           (command.count != 0 && command.redis->router.is_cluster() &&
            command.deltas[0]->slot != next.slot);
}

void finish(SyncCommand* command) {
    if (command->count != 0) {
        send(command);
    } else {
        std::free(command);
    }
}

/** Sends the delta of one key before it is due; `is_read` if there is something to report. */
void send_one(LiveRedis* redis, KeyDelta* delta, bool is_read) {
    SyncCommand* command = is_read ? make_command(redis, false) : nullptr;
    if (command == nullptr) {
        drop(delta);
        return;
    }
    command->deltas[command->count++] = delta;
    send(command);
}

/** Takes the first of the deltas that wait, if it is due and can be reported. */
KeyDelta* take_due(LiveRedis* redis) {
    for (;;) {
        KeyDelta* delta = first_delta(redis);
        if (delta == nullptr || (until_due(*delta) > 0 && !ngx_exiting)) {
            return nullptr;
        }
        bool there = is_there(redis, delta->slot);
        if (!there && !ngx_exiting && !redis->router.is_cluster()) {
            return nullptr;
        }
        remove(redis, delta);
        if (there) {
            return delta;
        }
        if (ngx_exiting) {
            drop(delta);
        } else {
            put_off(redis, delta, longest(delta->entry.interval, kAwayInterval));
        }
    }
}

void send_due(LiveRedis* redis) {
    SyncCommand* command = nullptr;
    while (redis->due_under_way < kMostUnderWay) {
        KeyDelta* delta = take_due(redis);
        if (delta == nullptr) {
            break;
        }
        if (command != nullptr && is_full(*command, *delta)) {
            finish(command);
            command = nullptr;
        }
        if (command == nullptr && (command = make_command(redis, true)) == nullptr) {
            drop(delta);
            break;
        }
        add_delta(command, delta);
    }
    if (command != nullptr) {
        finish(command);
    }
}

void on_due(LiveRedis* redis) {
    send_due(redis);
    KeyDelta* next = first_delta(redis);
    if (next == nullptr) {
        return;
    }
    // A worker that ends waits for the deltas that can be reported.
    bool there = is_there(redis, next->slot);
    redis->sync_timer.hold_worker(there);
    ngx_msec_int_t least = there ? 1 : next->entry.interval;
    ngx_msec_t wait = static_cast<ngx_msec_t>(ngx_max(until_due(*next), least));
    redis->sync_timer.start(ngx_min(wait, kLongestWait));
}

bool on_heartbeat_answered(RedisCommand* done, const Reply* reply) {
    HeartbeatCommand* command = static_cast<HeartbeatCommand*>(done);
    uint32_t nodes = 0;
    Millis redis_now = 0;
    bool fits = reply != nullptr && read_heartbeat(*reply, &nodes, &redis_now);
    for (const ZoneConf* conf : zones_of(*command->redis->main)) {
        if (fits && conf->live->access.journal.is_open()) {
            const Zone& zone = conf->live->access.journal.zone();
            set_redis_clock(zone, now_by_nginx(), redis_now);
            note_nodes(zone, nodes, redis_time(zone, now_by_nginx()).monotonic);
        }
    }
    std::free(command->bytes);
    std::free(command);
    return fits || reply == nullptr;
}

/** True in the one worker that announces the node now. */
bool is_heartbeat_due(LiveRedis* redis) {
    const ZoneConf* first = &zones_of(*redis->main)[0];
    if (!first->live->access.journal.is_open()) {
        return false;
    }
    const Zone& zone = first->live->access.journal.zone();
    Millis now = redis_time(zone, now_by_nginx()).monotonic;
    int64_t at = zone.header()->next_heartbeat_at.load();
    bool known = zone.header()->nodes.load() != 0;
    return (now >= at || !known || at - now > Millis{kHeartbeatInterval}) &&
           zone.header()->next_heartbeat_at.compare_exchange_strong(
               at, now + Millis{kHeartbeatInterval} - Millis{kHeartbeatInterval} / 8);
}

void on_heartbeat(LiveRedis* redis) {
    const ZoneConf* first = &zones_of(*redis->main)[0];
    bool known = Zone(first->live->memory).header()->nodes.load() != 0;
    redis->heartbeat.start(known ? kHeartbeatInterval : kFirstHeartbeats);
    char key[kMaxRedisPrefix + 8];
    ngx_str_t prefix = redis->conf->servers.prefix;
    u_char* end = ngx_sprintf(reinterpret_cast<u_char*>(key), "%V:nodes", &prefix);
    std::string_view name(key, static_cast<size_t>(end - reinterpret_cast<u_char*>(key)));
    uint16_t slot = slot_of(name);
    if (!is_there(redis, slot) || !is_heartbeat_due(redis)) {
        return;
    }
    HeartbeatCommand* command =
        static_cast<HeartbeatCommand*>(std::calloc(1, sizeof(HeartbeatCommand)));
    if (command == nullptr) {
        return;
    }
    Command* words = empty_command();
    write_heartbeat(name, redis->node, words);
    command->redis = redis;
    command->is_script = true;
    command->is_background = true;
    command->done = on_heartbeat_answered;
    command->bytes = words->format(&command->size);
    if (command->bytes == nullptr) {
        std::free(command);
        return;
    }
    redis->router.client_for(slot)->send(command);
}

/** The node's name, which its workers of all generations share as long as the zone lasts. */
uint64_t name_of_node(const Zone& zone) {
    uint64_t drawn = 0;
    while (drawn == 0 && getentropy(&drawn, sizeof(drawn)) == 0) {
    }
    uint64_t present = 0;
    return zone.header()->node.compare_exchange_strong(present, drawn) ? drawn : present;
}

LedgerEntry entry_of(const Charge& ledger, const Charge& used) {
    return {ledger.access, ledger.tag,  ledger.policy,
            used.policy,   *used.limit, ledger.limit->period_length};
}

KeyDelta* make_delta(LiveRedis* redis, const LedgerEntry& entry, std::string_view key) {
    KeyDelta* delta = static_cast<KeyDelta*>(std::malloc(sizeof(KeyDelta)));
    if (delta != nullptr) {
        delta->entry = entry;
        delta->losses = 0;
        delta->key_size = key.copy(delta->key, kMaxRedisKey);
        delta->slot = redis->router.is_cluster() ? slot_of(key) : 0;
    }
    return delta;
}

void see_to(LiveRedis* redis, PolicyCharge* policy_charge, const Part& part) {
    const Charge* charge = &policy_charge->use;
    Charge* ledger = policy_charge->ledger;
    DeltaDue what = ledger->delta_due;
    ledger->delta_due = DeltaDue::kNone;
    KeyHash hash;
    if (what == DeltaDue::kNone || !hash_key_for_redis(view(part.key), hash_of(*charge), &hash)) {
        return;
    }
    char key[kMaxRedisKey];
    size_t size = write_redis_key(view(redis->conf->servers.prefix), hash, view(part.policy->name),
                                  charge->limit->measure, key);
    KeyDelta* delta = make_delta(redis, entry_of(*ledger, *charge), {key, size});
    if (delta == nullptr) {
        return;
    }
    bool there = is_there(redis, delta->slot);
    if (what == DeltaDue::kOverdue && !there) {
        drop(delta);  // another one has it, and waits for Redis as well
    } else if (what == DeltaDue::kNow && there) {
        send_one(redis, delta, read_ledger(delta->entry, false, &delta->ledger_delta));
    } else {
        ngx_msec_t delay = static_cast<ngx_msec_t>(delta->entry.interval);
        put_off(redis, delta, what == DeltaDue::kSoon ? ngx_min(delay, kSoon) : delay);
    }
}

}  // namespace

void start_sync(LiveRedis* redis) {
    redis->delta_count = 0;
    redis->due_under_way = 0;
    redis->sync_ends = false;
    static ngx_rbtree_node_t sentinel;
    ngx_rbtree_init(&redis->deltas, &sentinel, ngx_rbtree_insert_timer_value);
    const ZoneConf* first = &zones_of(*redis->main)[0];
    redis->node = name_of_node(Zone(first->live->memory));
    redis->sync_timer.init<on_due>(redis, ngx_cycle->log);
    redis->heartbeat.init<on_heartbeat>(redis, ngx_cycle->log);
    // A single process's zones may go while its timers stay: without a share, it asks Redis.
    if (redis->conf->has_shares && ngx_process == NGX_PROCESS_WORKER) {
        redis->heartbeat.start(1);
    }
}

void stop_sync(LiveRedis* redis) {
    redis->sync_ends = true;
    redis->sync_timer.stop();
    redis->heartbeat.stop();
    for (KeyDelta* delta = first_delta(redis); delta != nullptr; delta = first_delta(redis)) {
        remove(redis, delta);
        drop(delta);
    }
}

void schedule_deltas(LiveRedis* redis, Decision* one) {
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        if (one->charges[i].ledger != nullptr) {
            see_to(redis, &one->charges[i], one->parts[i]);
        }
    }
}

void sync_before(LiveRedis* redis, const PolicyCharge& charge, std::string_view key) {
    KeyDelta* delta = make_delta(redis, entry_of(*charge.ledger, charge.use), key);
    if (delta != nullptr) {
        Millis lasts = static_cast<Millis>(longest_wait(redis->access));
        send_one(redis, delta,
                 ask_beside(delta->entry, least_left(charge.use), lasts, now_by_nginx(),
                            &delta->ledger_delta));
    }
}

void end_question(const PolicyCharge& charge) {
    if (charge.use.access->journal.is_open()) {
        end_question(entry_of(*charge.ledger, charge.use), least_left(charge.use));
    }
}

}  // namespace ai_limit
