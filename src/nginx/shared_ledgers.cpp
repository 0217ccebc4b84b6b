#include "nginx/shared_ledgers.h"

#include <unistd.h>

#include <cstdlib>

#include "clock.h"
#include "core/policies/shared_clock.h"
#include "nginx/shared_flights.h"

namespace ai_limit {

/** News of one key, in memory of their own. */
struct KeyNews {
    ngx_rbtree_node_t place;  // its key: when it is due
    LedgerEntry entry;
    Telling telling;
    uint8_t losses;  // how often it was told in vain
    uint16_t slot;
    size_t key_size;
    char key[kMaxRedisKey];
};

namespace {

constexpr ngx_msec_t kBeatInterval = 1000;
constexpr ngx_msec_t kFirstBeats = 250;  // before it is known how many nodes there are
constexpr ngx_msec_t kAwayInterval = 100;
constexpr ngx_msec_t kSoon = 2;
constexpr ngx_msec_t kLongestWait = 300;  // until a worker notices that it is to end
constexpr size_t kMostNews = 50'000;  // of one worker; further ones wait for the key's next request

constexpr uint8_t kMostLosses = 3;  // while the worker ends

// Keys that were due and have not been answered yet: after Redis was away there is much to report,
// from all nodes, and decisions must not wait long behind it.
constexpr size_t kMostUnderWay = 4 * kMaxTellings;

/** News under way. */
struct NewsCommand : RedisCommand {
    RedisConf* redis;
    bool is_due;  // and not before its time
    size_t count;
    KeyNews* news[kMaxTellings];
};

struct BeatCommand : RedisCommand {
    RedisConf* redis;
};

/** Lists the deltas in the form that their call takes. */
void list_tellings(const NewsCommand& command, SharedTelling* tellings) {
    for (size_t i = 0; i < command.count; ++i) {
        const KeyNews& news = *command.news[i];
        tellings[i] = {&news.entry, &news.telling, {news.key, news.key_size}, {}, 0};
    }
}

bool is_there(RedisConf* redis, uint16_t slot) {
    RedisClient* client = redis->router.client_for(slot);
    return client != nullptr && client->is_there();
}

ngx_msec_t longest(Millis a, ngx_msec_t b) {
    return ngx_max(static_cast<ngx_msec_t>(a), b);
}

void drop(KeyNews* news) {
    std::free(news);
}

/** Returns the key whose delta is due first; nullptr if none waits. */
KeyNews* first_news(RedisConf* redis) {
    ngx_rbtree_t* all = &redis->news;
    return all->root == all->sentinel
               ? nullptr
               : reinterpret_cast<KeyNews*>(ngx_rbtree_min(all->root, all->sentinel));
}

ngx_msec_int_t until_due(const KeyNews& news) {
    return msec_until(news.place.key);
}

void remove(RedisConf* redis, KeyNews* news) {
    ngx_rbtree_delete(&redis->news, &news->place);
    --redis->news_count;
}

/** Puts a key's delta among those that wait, of which there is a maximum. */
void put_off(RedisConf* redis, KeyNews* news, ngx_msec_t delay) {
    if (redis->news_count == kMostNews || ngx_process != NGX_PROCESS_WORKER) {
        drop(news);
        return;
    }
    delay = ngx_exiting ? 0 : delay;  // a worker that ends tells what it can at once
    news->place.key = msec_now() + delay;
    ngx_rbtree_insert(&redis->news, &news->place);
    ++redis->news_count;
    if (redis->telling.start_by(ngx_min(delay, kLongestWait))) {
        redis->telling.hold_worker(true);
    }
}

void settle_news(NewsCommand* command, bool arrived) {
    Now now = now_by_nginx();
    for (size_t i = 0; i < command->count; ++i) {
        KeyNews* news = command->news[i];
        bool ends = command->redis->telling_ends || !news->entry.access->journal.is_open() ||
                    (ngx_exiting && ++news->losses == kMostLosses);
        if (arrived || ends || !must_tell_again(news->entry, now)) {
            drop(news);
        } else {
            put_off(command->redis, news, static_cast<ngx_msec_t>(news->entry.interval));
        }
    }
    RedisConf* redis = command->redis;
    redis->due_under_way -= command->is_due ? command->count : 0;
    std::free(command->bytes);
    std::free(command);
    if (!redis->telling_ends && first_news(redis) != nullptr && redis->due_under_way == 0) {
        redis->telling.post();
    }
}

bool on_told(RedisCommand* done, const Reply* reply) {
    NewsCommand* command = static_cast<NewsCommand*>(done);
    SharedTelling tellings[kMaxTellings];
    list_tellings(*command, tellings);
    Millis redis_now = 0;
    bool arrived = reply != nullptr && read_tell(*reply, tellings, command->count, &redis_now);
    Now now = now_by_nginx();
    for (size_t i = 0; arrived && i < command->count; ++i) {
        const LedgerEntry& entry = command->news[i]->entry;
        if (entry.access->journal.is_open()) {
            set_shared_clock(entry.access->journal.zone(), now, redis_now);
            acknowledge(entry, *tellings[i].telling, tellings[i].state, tellings[i].held, now);
        }
    }
    settle_news(command, arrived);
    return arrived || reply == nullptr;
}

NewsCommand* make_command(RedisConf* redis, bool is_due) {
    NewsCommand* command = static_cast<NewsCommand*>(std::calloc(1, sizeof(NewsCommand)));
    if (command != nullptr) {
        command->redis = redis;
        command->is_due = is_due;
        command->is_script = true;
        command->is_background = true;
        command->done = on_told;
    }
    return command;
}

/** Sends a command with its deltas. */
void send(NewsCommand* command) {
    SharedTelling tellings[kMaxTellings];
    list_tellings(*command, tellings);
    command->redis->due_under_way += command->is_due ? command->count : 0;
    Command* words = empty_command();
    write_tell(command->redis->node, tellings, command->count, now_by_nginx(), words);
    command->bytes = words->format(&command->size);
    RedisClient* client = command->redis->router.client_for(command->news[0]->slot);
    if (command->bytes == nullptr || client == nullptr) {
        settle_news(command, false);
        return;
    }
    client->send(command);
}

/** Reads a delta into a command that has room; drops `news` if there is nothing to report. */
void add_news(NewsCommand* command, KeyNews* news) {
    if (news->entry.access->journal.is_open() &&
        read_ledger(news->entry, command->is_due, &news->telling)) {
        command->news[command->count++] = news;
    } else {
        drop(news);
    }
}

/** Deltas of different slots of a cluster go in different calls. */
bool is_full(const NewsCommand& command, const KeyNews& next) {
    return command.count == kMaxTellings ||
           (command.count != 0 && command.redis->router.is_cluster() &&
            command.news[0]->slot != next.slot);
}

void finish(NewsCommand* command) {
    if (command->count != 0) {
        send(command);
    } else {
        std::free(command);
    }
}

/** Sends the delta of one key before it is due; `is_read` if there is something to report. */
void tell_one(RedisConf* redis, KeyNews* news, bool is_read) {
    NewsCommand* command = is_read ? make_command(redis, false) : nullptr;
    if (command == nullptr) {
        drop(news);
        return;
    }
    command->news[command->count++] = news;
    send(command);
}

/** Takes the first of the deltas that wait, if it is due and can be reported. */
KeyNews* take_due(RedisConf* redis) {
    for (;;) {
        KeyNews* news = first_news(redis);
        if (news == nullptr || (until_due(*news) > 0 && !ngx_exiting)) {
            return nullptr;
        }
        bool there = is_there(redis, news->slot);
        if (!there && !ngx_exiting && !redis->router.is_cluster()) {
            return nullptr;
        }
        remove(redis, news);
        if (there) {
            return news;
        }
        if (ngx_exiting) {
            drop(news);
        } else {
            put_off(redis, news, longest(news->entry.interval, kAwayInterval));
        }
    }
}

void tell_due(RedisConf* redis) {
    NewsCommand* command = nullptr;
    while (redis->due_under_way < kMostUnderWay) {
        KeyNews* news = take_due(redis);
        if (news == nullptr) {
            break;
        }
        if (command != nullptr && is_full(*command, *news)) {
            finish(command);
            command = nullptr;
        }
        if (command == nullptr && (command = make_command(redis, true)) == nullptr) {
            drop(news);
            break;
        }
        add_news(command, news);
    }
    if (command != nullptr) {
        finish(command);
    }
}

void on_due(RedisConf* redis) {
    tell_due(redis);
    KeyNews* next = first_news(redis);
    if (next == nullptr) {
        return;
    }
    // A worker that ends waits for the deltas that can be reported.
    bool there = is_there(redis, next->slot);
    redis->telling.hold_worker(there);
    ngx_msec_int_t least = there ? 1 : next->entry.interval;
    ngx_msec_t wait = static_cast<ngx_msec_t>(ngx_max(until_due(*next), least));
    redis->telling.start(ngx_min(wait, kLongestWait));
}

bool on_beat_answered(RedisCommand* done, const Reply* reply) {
    BeatCommand* command = static_cast<BeatCommand*>(done);
    uint32_t nodes = 0;
    Millis redis_now = 0;
    bool fits = reply != nullptr && read_beat(*reply, &nodes, &redis_now);
    const ngx_array_t* zones = command->redis->zones;
    for (ngx_uint_t i = 0; fits && i < zones->nelts; ++i) {
        const ZoneConf* conf = static_cast<ZoneConf**>(zones->elts)[i];
        if (conf->access->journal.is_open()) {
            const Zone& zone = conf->access->journal.zone();
            set_shared_clock(zone, now_by_nginx(), redis_now);
            note_nodes(zone, nodes, shared_now(zone, now_by_nginx()).monotonic);
        }
    }
    std::free(command->bytes);
    std::free(command);
    return fits || reply == nullptr;
}

/** True in the one worker that announces the node now. */
bool is_time_to_beat(RedisConf* redis) {
    const ZoneConf* first = static_cast<ZoneConf**>(redis->zones->elts)[0];
    if (!first->access->journal.is_open()) {
        return false;
    }
    const Zone& zone = first->access->journal.zone();
    Millis now = shared_now(zone, now_by_nginx()).monotonic;
    int64_t at = zone.header()->next_beat_at.load();
    bool known = zone.header()->nodes.load() != 0;
    return (now >= at || !known || at - now > Millis{kBeatInterval}) &&
           zone.header()->next_beat_at.compare_exchange_strong(
               at, now + Millis{kBeatInterval} - Millis{kBeatInterval} / 8);
}

void on_beat(RedisConf* redis) {
    const ZoneConf* first = static_cast<ZoneConf**>(redis->zones->elts)[0];
    bool known = Zone(first->memory).header()->nodes.load() != 0;
    redis->beat.start(known ? kBeatInterval : kFirstBeats);
    char key[kMaxRedisPrefix + 8];
    ngx_str_t prefix = redis->servers.prefix;
    u_char* end = ngx_sprintf(reinterpret_cast<u_char*>(key), "%V:nodes", &prefix);
    std::string_view name(key, static_cast<size_t>(end - reinterpret_cast<u_char*>(key)));
    uint16_t slot = slot_of(name);
    if (!is_there(redis, slot) || !is_time_to_beat(redis)) {
        return;
    }
    BeatCommand* command = static_cast<BeatCommand*>(std::calloc(1, sizeof(BeatCommand)));
    if (command == nullptr) {
        return;
    }
    Command* words = empty_command();
    write_beat(name, redis->node, words);
    command->redis = redis;
    command->is_script = true;
    command->is_background = true;
    command->done = on_beat_answered;
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

KeyNews* make_news(RedisConf* redis, const LedgerEntry& entry, std::string_view key) {
    KeyNews* news = static_cast<KeyNews*>(std::malloc(sizeof(KeyNews)));
    if (news != nullptr) {
        news->entry = entry;
        news->losses = 0;
        news->key_size = key.copy(news->key, kMaxRedisKey);
        news->slot = redis->router.is_cluster() ? slot_of(key) : 0;
    }
    return news;
}

void see_to(RedisConf* redis, Charge* charge, const Part& part) {
    Charge* ledger = ledger_of(charge);
    News what = ledger->news;
    ledger->news = News::kNone;
    KeyHash hash;
    if (what == News::kNone || !hash_key_for_redis(view(part.key), hash_of(*charge), &hash)) {
        return;
    }
    char key[kMaxRedisKey];
    size_t size = write_redis_key(view(redis->servers.prefix), hash, view(part.policy->name),
                                  charge->limit->measure, key);
    KeyNews* news = make_news(redis, entry_of(*ledger, *charge), {key, size});
    if (news == nullptr) {
        return;
    }
    bool there = is_there(redis, news->slot);
    if (what == News::kOverdue && !there) {
        drop(news);  // somebody has it, and waits for Redis as well
    } else if (what == News::kNow && there) {
        tell_one(redis, news, read_ledger(news->entry, false, &news->telling));
    } else {
        ngx_msec_t delay = static_cast<ngx_msec_t>(news->entry.interval);
        put_off(redis, news, what == News::kSoon ? ngx_min(delay, kSoon) : delay);
    }
}

}  // namespace

void start_telling(RedisConf* redis, const ngx_array_t& zones) {
    redis->zones = &zones;
    redis->news_count = 0;
    redis->due_under_way = 0;
    redis->telling_ends = false;
    static ngx_rbtree_node_t sentinel;
    ngx_rbtree_init(&redis->news, &sentinel, ngx_rbtree_insert_timer_value);
    const ZoneConf* first = static_cast<ZoneConf**>(zones.elts)[0];
    redis->node = name_of_node(Zone(first->memory));
    redis->telling.init<on_due>(redis, ngx_cycle->log);
    redis->beat.init<on_beat>(redis, ngx_cycle->log);
    // A single process's zones may go while its timers stay: without a share, it asks Redis.
    if (redis->has_shares && ngx_process == NGX_PROCESS_WORKER) {
        redis->beat.start(1);
    }
}

void stop_telling(RedisConf* redis) {
    redis->telling_ends = true;
    redis->telling.stop();
    redis->beat.stop();
    for (KeyNews* news = first_news(redis); news != nullptr; news = first_news(redis)) {
        remove(redis, news);
        drop(news);
    }
}

void see_to_news(RedisConf* redis, Evaluation* one) {
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        if (one->charges[i].has_ledger) {
            see_to(redis, &one->charges[i], one->parts[i]);
        }
    }
}

void tell_before(RedisConf* redis, Charge* charge, std::string_view key) {
    KeyNews* news = make_news(redis, entry_of(*ledger_of(charge), *charge), key);
    if (news != nullptr) {
        tell_one(redis, news,
                 ask_beside(news->entry, least_left(*charge), now_by_nginx(), &news->telling));
    }
}

}  // namespace ai_limit
