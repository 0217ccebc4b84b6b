#include "nginx/overrides/shared_overrides.h"

#include <cstdlib>

#include "clock.h"
#include "core/policies/policies.h"
#include "core/turns/queue.h"
#include "core/words/shown_key.h"
#include "nginx/conf/live.h"
#include "nginx/conf/policy_words.h"
#include "nginx/sharing/redis_flights.h"
#include "nginx/values/policy_values.h"
#include "nginx/waiting/waiting.h"
#include "redis/script/policy_units.h"
#include "zone_lock.h"

namespace ai_limit {

namespace {

// An answer is in force within the two together, and the way to Redis and back.
constexpr ngx_msec_t kLookInterval = 100;   // whether one of the workers has to ask
constexpr int64_t kAskInterval = 300;       // of one of the workers
constexpr int64_t kLongestQuestion = 2000;  // then another worker asks, and a late answer is void
constexpr int64_t kWholeLookInterval = 60'000;

/** Two ends of an override that are no further apart are one: the clocks follow each other. */
constexpr Millis kSameEnd = 2000;

ZoneHeader* first_zone(const LiveRedis& redis) {
    return Zone(zones_of(*redis.main)[0].live->memory).header();
}

std::string_view unit_of(const PolicyConf& policy) {
    return policy.variable != nullptr ? kVariableUnit : facts_of(policy.limit.measure).redis;
}

// --- what others have changed

struct OverrideQuestion : RedisCommand {
    LiveRedis* redis;
    int64_t until;  // next_overrides_at, unless another worker asks
};

/** The policy that a change is of, if it is one of this node's that other nodes share. */
const PolicyConf* policy_of(const LiveRedis& redis, const OverrideChange& change) {
    const PolicyConf* policy = find_policy(redis.main, change.policy);
    const bool fits = policy != nullptr && policy->in_redis && policy->live->usable &&
                      policy->live->ask.access->journal.is_open() &&
                      unit_of(*policy) == change.unit;
    return fits ? policy : nullptr;
}

void log_full(LiveRedis* redis, const PolicyConf& policy) {
    if (!redis->has_logged_full) {
        redis->has_logged_full = true;
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "zone \"%V\" has no room for the limit of a key of policy \"%V\" that was "
                      "set for all nginx: it has %uD of them; delete some",
                      &policy.zone->name, &policy.name, kMaxOverrides);
    }
}

bool remove_here(const PolicyConf& policy, uint64_t tag, Millis now) {
    const Zone& zone = policy.live->ask.access->journal.zone();
    OverrideView found;
    if (!has_overrides(zone) || !find_override(zone, tag, now, &found)) {
        return false;
    }
    ZoneLock lock(*policy.zone->shm);
    return remove_override(zone, tag, now);
}

/** Reads the limit as PUT does on the node that was asked; false if this policy cannot have it. */
bool read_shared_limit(const PolicyConf& policy, std::string_view rate, Limit* limit) {
    if (parse_limit(policy, rate, limit) != nullptr || !can_have(policy, limit->measure)) {
        return false;
    }
    return policy.variable != nullptr || keep_window(policy.live->limit, limit);
}

bool set_here(LiveRedis* redis, const PolicyConf& policy, uint64_t tag,
              const OverrideChange& change, Millis now) {
    const Zone& zone = policy.live->ask.access->journal.zone();
    const Millis ends = now + change.lasts;
    OverrideView found;
    if (find_override(zone, tag, now, &found) && found.rate_text() == change.rate &&
        found.shown_key() == change.shown && can_have(policy, found.limit.measure)) {
        const Millis apart = change.lasts - found.expires_in;
        if (apart < kSameEnd && apart > -kSameEnd) {
            return false;
        }
    }
    Limit limit{};
    if (!read_shared_limit(policy, change.rate, &limit)) {
        return false;
    }
    const uint32_t number = policy.live->ask.policy;
    note_limit(zone, number, &limit);
    log_too_many_periods(policy, ngx_cycle->log);
    ZoneLock lock(*policy.zone->shm);
    if (!set_override(zone, {tag, number, &limit, change.rate, change.shown, ends, true}, now)) {
        log_full(redis, policy);
        return false;
    }
    return true;
}

/** Returns true if a limit is another one now. */
bool apply(LiveRedis* redis, const PolicyConf& policy, const OverrideChange& change) {
    const Millis now = now_by_nginx().monotonic;
    const uint64_t tag = tag_of_shared_override(policy, change.hash);
    return change.lasts > 0 ? set_here(redis, policy, tag, change, now)
                            : remove_here(policy, tag, now);
}

/** Requests that wait may pass by another limit now, or are to be refused. */
void wake_waiters(const LiveRedis& redis) {
    for (const ZoneConf* zone : zones_of(*redis.main)) {
        if (zone->live->access.journal.is_open()) {
            note_room_everywhere(zone->live->access.journal.zone());
        }
    }
}

/** Returns how soon the next question is to come, in milliseconds. */
int64_t take_changes(LiveRedis* redis, OverrideChanges* changes) {
    ZoneHeader* header = first_zone(*redis);
    if (changes->newest() < header->newest_override.load()) {
        // The answer is older than a change that this node has made, or Redis has lost some.
        header->newest_override.store(changes->newest());
        header->overrides_version.store(0);
        return 0;
    }
    OverrideChange change;
    bool has_changed = false;
    while (changes->next(&change)) {
        const PolicyConf* policy = policy_of(*redis, change);
        has_changed |= policy != nullptr && apply(redis, *policy, change);
    }
    if (has_changed) {
        wake_waiters(*redis);
    }
    header->newest_override.store(changes->newest());
    header->overrides_version.store(changes->last());
    return changes->has_more() ? 0 : kAskInterval;
}

/** An error leaves the connection as it is: it says nothing of what requests ask. */
bool on_changes(RedisCommand* done, const Reply* reply) {
    OverrideQuestion* question = static_cast<OverrideQuestion*>(done);
    std::atomic<int64_t>* next = &first_zone(*question->redis)->next_overrides_at;
    if (next->load() == question->until) {
        OverrideChanges changes;
        const int64_t delay = reply != nullptr && changes.begin(*reply)
                                  ? take_changes(question->redis, &changes)
                                  : kAskInterval;
        int64_t until = question->until;
        next->compare_exchange_strong(until, now_by_nginx().monotonic + delay);
        if (delay == 0 && !ngx_exiting && question->redis->overrides.is_set()) {
            question->redis->overrides.start_by(1);
        }
    }
    std::free(done->bytes);
    std::free(question);
    return true;
}

/** True in the one worker that asks now. `until`: when another one does if there is no answer. */
bool is_due(const LiveRedis& redis, int64_t* until) {
    std::atomic<int64_t>* next = &first_zone(redis)->next_overrides_at;
    int64_t at = next->load();
    const int64_t now = now_by_nginx().monotonic;
    *until = now + kLongestQuestion;
    return (now >= at || at - now > kLongestQuestion) && next->compare_exchange_strong(at, *until);
}

/** The version behind which all is new here. From time to time that is none: a Redis that took the
 * place of another one may have lost changes without a sign of it. */
int64_t known_version(const LiveRedis& redis) {
    ZoneHeader* header = first_zone(redis);
    const int64_t now = now_by_nginx().monotonic;
    int64_t at = header->next_whole_look_at.load();
    if (now >= at || at - now > kWholeLookInterval) {
        header->next_whole_look_at.store(now + kWholeLookInterval);
        header->overrides_version.store(0);
    }
    return header->overrides_version.load();
}

void ask(LiveRedis* redis, RedisClient* client, int64_t until) {
    Command* words = empty_command();
    write_override_question(view(redis->conf->servers.prefix), known_version(*redis), words);
    auto* question = static_cast<OverrideQuestion*>(std::calloc(1, sizeof(OverrideQuestion)));
    if (question == nullptr) {
        return;
    }
    question->bytes = words->format(&question->size);
    if (question->bytes == nullptr) {
        std::free(question);
        return;
    }
    question->redis = redis;
    question->until = until;
    question->done = on_changes;
    question->is_background = true;
    question->may_fail = true;
    client->send(question);
}

RedisClient* client_of_overrides(LiveRedis* redis) {
    RedisClient* client = redis->router.client_for(slot_of(slot_key_of_units()));
    return client != nullptr && client->is_there() ? client : nullptr;
}

void on_time(LiveRedis* redis) {
    if (ngx_exiting) {
        return;
    }
    redis->overrides.start(kLookInterval);
    int64_t until = 0;
    RedisClient* client = client_of_overrides(redis);
    if (client != nullptr && is_due(*redis, &until)) {
        ask(redis, client, until);
    }
}

bool has_policies_in_redis(const MainConf& main) {
    for (const PolicyConf* policy : policies_of(main)) {
        if (policy->in_redis && policy->used) {
            return true;
        }
    }
    return false;
}

// --- what is changed here

/** A change under way; it outlives a request whose client goes away. */
struct ChangeCall : RedisCommand {
    Wait wait;  // of the request, unless its client has gone away
    LiveRedis* redis;
    OverrideThen then;
    void* data;
    bool is_sent;
    bool is_done;
};

constexpr WaitReason kWaitForChange = {"Redis to change the limit of a key", nullptr, nullptr};

void release(ChangeCall* call) {
    std::free(call->bytes);
    std::free(call);
}

/** An answer to a question that was asked before is void now. */
void note_version(const LiveRedis& redis, int64_t version) {
    std::atomic<int64_t>* newest = &first_zone(redis)->newest_override;
    int64_t known = newest->load();
    while (known < version && !newest->compare_exchange_weak(known, version)) {
    }
}

bool on_changed(RedisCommand* command, const Reply* reply) {
    ChangeCall* call = static_cast<ChangeCall*>(command);
    if (!call->is_sent) {
        call->is_done = true;  // it could not be
        return true;
    }
    OverrideAnswer answer{};
    const bool answered = reply != nullptr && read_override_answer(*reply, &answer);
    if (answered) {
        note_version(*call->redis, answer.version);
    }
    if (ngx_http_request_t* r = take_content(&call->wait)) {
        finish_content(r, call->then(r, call->data, answered ? &answer : nullptr));
    }
    release(call);
    return true;
}

void write_change(const LiveRedis& redis, const WantedChange& wanted, const KeyHash& hash,
                  Command* words) {
    char field[kMaxOverrideField];
    char shown[kMaxTopKeyText];
    const std::string_view prefix = view(redis.conf->servers.prefix);
    const std::string_view name = {field, write_override_field(hash, unit_of(*wanted.policy),
                                                               view(wanted.policy->name), field)};
    if (wanted.rate.empty()) {
        write_override_removal(prefix, name, wanted.lasts, words);
        return;
    }
    const size_t size = copy_shown_key(wanted.key, shown, sizeof(shown));
    write_override(prefix, {name, wanted.lasts, wanted.rate, {shown, size}}, words);
}

}  // namespace

void start_sharing_overrides(LiveRedis* redis) {
    redis->overrides.init<on_time>(redis, ngx_cycle->log);
    redis->has_logged_full = false;
    if (!has_policies_in_redis(*redis->main)) {
        return;
    }
    // A policy may be new, and its overrides were not taken before.
    first_zone(*redis)->overrides_version.store(0);
    redis->overrides.start(1);
}

void stop_sharing_overrides(LiveRedis* redis) {
    redis->overrides.stop();
}

ngx_int_t change_override(ngx_http_request_t* r, const WantedChange& wanted, OverrideThen then,
                          void* data) {
    LiveRedis* redis = live_redis(r);
    KeyHash hash;
    if (!hash_key_for_redis(wanted.key, wanted.hash, &hash)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    RedisClient* client = client_of_overrides(redis);
    if (client == nullptr) {
        return NGX_DECLINED;
    }
    auto* call = static_cast<ChangeCall*>(std::calloc(1, sizeof(ChangeCall)));
    if (call == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    Command* words = empty_command();
    write_change(*redis, wanted, hash, words);
    call->bytes = words->format(&call->size);
    if (call->bytes == nullptr) {
        release(call);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    call->redis = redis;
    call->then = then;
    call->data = data;
    call->done = on_changed;
    call->may_fail = true;
    client->send(call);
    if (call->is_done) {
        release(call);
        return NGX_DECLINED;
    }
    call->is_sent = true;
    return suspend_content(r, &call->wait, kWaitForChange);
}

bool keep_window(const Limit& own, Limit* limit) {
    if (!has_window(limit->algorithm)) {
        return true;
    }
    if (limit->capacity == 0) {
        limit->period = own.period;
        limit->period_length = own.period_length;
        return true;
    }
    return limit->period_length == own.period_length &&
           (limit->period.unit == PeriodUnit::kMonth) == (own.period.unit == PeriodUnit::kMonth);
}

}  // namespace ai_limit
