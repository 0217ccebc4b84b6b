#include "nginx/sharing/redis_units.h"

#include <cstdlib>

#include "clock.h"
#include "nginx/conf/live.h"
#include "nginx/sharing/redis_flights.h"
#include "redis/script/policy_units.h"

namespace ai_limit {

namespace {

constexpr ngx_msec_t kLookInterval = 1000;       // whether an announcement is due
constexpr int64_t kAnnouncementInterval = 2000;  // of one of the workers

struct Announcement : RedisCommand {
    LiveRedis* redis;
    size_t count;
    const PolicyConf* policies[kMaxAnnounced];
    PolicyUnit units[kMaxAnnounced];
};

/** Once for all workers when it begins, and when it is over. */
void note_others(const PolicyConf& policy, const PolicyUnit& unit) {
    PolicyRecord* record = policy.live->ask.access->journal.zone().policy(policy.live->ask.policy);
    for (size_t i = 0; i < kOtherMeasures; ++i) {
        uint32_t bit = uint32_t{1} << static_cast<uint32_t>(unit.measures[i]);
        bool differs = unit.others[i] != 0;
        uint32_t before =
            differs ? record->other_units.fetch_or(bit) : record->other_units.fetch_and(~bit);
        if (((before & bit) != 0) == differs) {
            continue;
        }
        ngx_str_t here = to_ngx(facts_of(unit.measure).log_words);
        ngx_str_t there = to_ngx(facts_of(unit.measures[i]).log_words);
        if (differs) {
            ngx_log_error(kHealthLevel, ngx_cycle->log, 0,
                          "ai_limit policy \"%V\" counts %V here and %V on another nginx that "
                          "shares this Redis: they"
                          " do not limit together, rename one of them",
                          &policy.name, &here, &there);
        } else {
            ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                          "ai_limit policy \"%V\", which counts %V here, counts %V on no other "
                          "nginx any more",
                          &policy.name, &here, &there);
        }
    }
}

/** Keeps the connection even if Redis refuses the call: that leaves the other nodes' units unknown,
 * which is no reason to lose it. */
bool on_announced(RedisCommand* done, const Reply* reply) {
    Announcement* announcement = static_cast<Announcement*>(done);
    if (reply != nullptr && read_announcement(*reply, announcement->units, announcement->count)) {
        for (size_t i = 0; i < announcement->count; ++i) {
            const PolicyConf& policy = *announcement->policies[i];
            if (policy.live->usable && policy.live->ask.access->journal.is_open()) {
                note_others(policy, announcement->units[i]);
            }
        }
    }
    std::free(done->bytes);
    std::free(announcement);
    return true;
}

/** True if this node announces the policy's unit. It announces none of a variable, which may say
 * requests on one request and tokens on the next. */
bool is_announced(const PolicyConf& policy) {
    return policy.in_redis && policy.used && policy.live->usable && policy.variable == nullptr;
}

void announce(LiveRedis* redis, RedisClient* client, Announcement* announcement) {
    Command* words = empty_command();
    write_announcement(view(redis->conf->servers.prefix), redis->node, announcement->units,
                       announcement->count, words);
    announcement->bytes = words->format(&announcement->size);
    if (announcement->bytes == nullptr) {
        std::free(announcement);
        return;
    }
    client->send(announcement);
}

void announce_all(LiveRedis* redis, RedisClient* client) {
    Announcement* announcement = nullptr;
    for (const PolicyConf* policy : policies_of(*redis->main)) {
        if (!is_announced(*policy)) {
            continue;
        }
        if (announcement == nullptr) {
            announcement = static_cast<Announcement*>(std::calloc(1, sizeof(Announcement)));
            if (announcement == nullptr) {
                return;
            }
            announcement->redis = redis;
            announcement->done = on_announced;
            announcement->is_background = true;
            announcement->may_fail = true;
        }
        PolicyUnit* unit = &announcement->units[announcement->count];
        announcement->policies[announcement->count++] = policy;
        unit->policy = view(policy->name);
        unit->measure = policy->limit.measure;
        set_other_measures(unit);
        if (announcement->count == kMaxAnnounced) {
            announce(redis, client, announcement);
            announcement = nullptr;
        }
    }
    if (announcement != nullptr) {
        announce(redis, client, announcement);
    }
}

/** True in the one worker that does it now. */
bool is_due(LiveRedis* redis) {
    const ZoneConf* first = &zones_of(*redis->main)[0];
    std::atomic<int64_t>* next = &Zone(first->live->memory).header()->next_announcement_at;
    int64_t at = next->load();
    int64_t now = now_by_nginx().monotonic;
    return (now >= at || at - now > kAnnouncementInterval) &&
           next->compare_exchange_strong(at, now + kAnnouncementInterval);
}

/** Announces over an existing connection: it opens none for this, and does not look for a Redis
 * that nobody asks. */
void on_look(LiveRedis* redis) {
    if (ngx_exiting) {
        return;
    }
    redis->announcing.start(kLookInterval);
    RedisClient* client = redis->router.client_for(slot_of(slot_key_of_units()));
    if (client != nullptr && client->is_connected() && client->is_there() && is_due(redis)) {
        announce_all(redis, client);
    }
}

}  // namespace

void start_announcing(LiveRedis* redis) {
    redis->announcing.init<on_look>(redis, ngx_cycle->log);
    if (ngx_process == NGX_PROCESS_WORKER) {
        redis->announcing.start(kLookInterval);
    }
}

void stop_announcing(LiveRedis* redis) {
    redis->announcing.stop();
}

}  // namespace ai_limit
