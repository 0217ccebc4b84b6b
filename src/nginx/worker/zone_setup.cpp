// The life of a zone: asked for when the configuration is read, made or taken over by the master,
// used by the workers of this configuration and, after a reload, still by those of the one before.

#include "nginx/worker/zone_setup.h"

#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "core/carry/migration.h"
#include "core/observe/history.h"
#include "core/observe/meters.h"
#include "core/policies/overrides.h"
#include "core/policies/policies.h"
#include "core/policies/redis_clock.h"
#include "nginx/conf/conf_words.h"
#include "nginx/conf/live.h"
#include "nginx/conf/upstream_conf.h"
#include "nginx/overrides/shared_overrides.h"
#include "nginx/request/client_identity.h"
#include "nginx/sharing/redis_flights.h"
#include "nginx/sharing/redis_ledgers.h"
#include "nginx/sharing/redis_question.h"
#include "nginx/sharing/redis_units.h"
#include "nginx/values/policy_values.h"
#include "nginx/worker/process.h"
#include "nginx/worker/state_reading.h"
#include "nginx/worker/state_saver.h"
#include "zone_lock.h"

namespace ai_limit {

namespace {

constexpr ngx_msec_t kSweepInterval = 400;     // a dead worker's slots are back within a second
constexpr ngx_msec_t kSamplingInterval = 500;  // whether a sample is due

const Host kHost = {is_process_alive, yield_processor};

const MainConf* main_conf_of(ngx_cycle_t* cycle) {
    return cycle->conf_ctx[ngx_http_module.index] == nullptr
               ? nullptr
               : static_cast<const MainConf*>(
                     ngx_http_cycle_get_module_main_conf(cycle, ngx_http_ai_limit_module));
}

/**
 * Returns the zone's size, with what the slab allocator needs beside it, and with a page or two
 * that tell apart zones of the same size for other kinds of entries: nginx then makes new memory,
 * and the entries are copied.
 */
size_t shared_memory_size(const ZoneConf& zone) {
    size_t kinds = (zone.small && zone.wide ? 2
                    : zone.wide             ? 1
                                            : 0) +
                   (zone.ledgers ? 3 : 0) + (zone.sharers ? 6 : 0) + (zone.waits ? 12 : 0) +
                   (zone.upstreams ? 24 : 0);
    size_t pages = layout_of(zone.sizes).total / ngx_pagesize + 1;
    pages += pages * sizeof(ngx_slab_page_t) / ngx_pagesize + 4;
    return (ngx_align(pages, 8) + kinds) * ngx_pagesize;
}

/** Finds the zone of the same name in the configuration that runs now, which this one is to
 * replace. */
const ZoneConf* running_zone(ngx_shm_zone_t* shm) {
    ngx_list_part_t* part = const_cast<ngx_list_part_t*>(&ngx_cycle->shared_memory.part);
    for (; part != nullptr; part = part->next) {
        ngx_shm_zone_t* zones = static_cast<ngx_shm_zone_t*>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; ++i) {
            if (&zones[i] != shm && zones[i].tag == shm->tag &&
                view(zones[i].shm.name) == view(shm->shm.name)) {
                return static_cast<const ZoneConf*>(zones[i].data);
            }
        }
    }
    return nullptr;
}

ngx_int_t copy_running_zone(ngx_shm_zone_t* shm, const ZoneConf& running, const Zone& to) {
    Journal journal;
    if (!journal.open(Zone(running.live->memory), &kHost, static_cast<uint32_t>(ngx_getpid()),
                      birth_of_this_process())) {
        ngx_log_error(NGX_LOG_ALERT, shm->shm.log, 0,
                      "ai_limit zone \"%V\" is used by too many processes, its counts are not kept",
                      &shm->shm.name);
        return NGX_OK;
    }
    copy_zone(&journal, to, now_by_nginx());
    journal.retire(journal.number());
    ngx_log_error(NGX_LOG_NOTICE, shm->shm.log, 0, "ai_limit zone \"%V\" is copied to its new size",
                  &shm->shm.name);
    return NGX_OK;
}

/**
 * Asks for huge pages, with which a decision on one of a million keys seldom waits for the address
 * of its bucket as well. Linux gives them where shmem_enabled in
 * /sys/kernel/mm/transparent_hugepage says `advise`; elsewhere nothing happens.
 */
void ask_for_huge_pages(const ngx_shm_zone_t* shm) {
#ifdef MADV_HUGEPAGE
    madvise(shm->shm.addr, shm->shm.size, MADV_HUGEPAGE);
#endif
}

ngx_int_t create_zone(ngx_shm_zone_t* shm, const ZoneConf* zone) {
    ask_for_huge_pages(shm);
    ngx_slab_pool_t* pool = reinterpret_cast<ngx_slab_pool_t*>(shm->shm.addr);
    zone->live->memory = ngx_slab_alloc(pool, layout_of(zone->sizes).total);
    uint8_t secret[kSecretBytes];
    if (zone->live->memory == nullptr || getentropy(secret, sizeof(secret)) != 0) {
        return NGX_ERROR;
    }
    pool->data = zone->live->memory;
    const ZoneConf* running = running_zone(shm);
    if (running == nullptr || running->live->memory == nullptr) {
        create_from_state_file(zone, &kHost, secret, shm->shm.log);
        return NGX_OK;
    }
    Zone from(running->live->memory);
    return copy_running_zone(shm, *running,
                             Zone::create(zone->live->memory, zone->sizes, from.header()->secret));
}

/** nginx calls this with the data of the running zone if it hands over that zone's memory. */
ngx_int_t init_zone(ngx_shm_zone_t* shm, void* data) noexcept {
    const ZoneConf* zone = static_cast<const ZoneConf*>(shm->data);
    ngx_slab_pool_t* pool = reinterpret_cast<ngx_slab_pool_t*>(shm->shm.addr);
    warn_of_state_folder(*zone, shm->shm.log);
    if (data == nullptr && !shm->shm.exists) {
        return create_zone(shm, zone);
    }
    zone->live->memory = pool->data;
    if (zone->live->memory == nullptr || !Zone::is_valid(zone->live->memory, zone->sizes)) {
        ngx_log_error(NGX_LOG_EMERG, shm->shm.log, 0,
                      "ai_limit_zone: the memory of \"%V\" has another layout, choose another size",
                      &shm->shm.name);
        return NGX_ERROR;
    }
    return NGX_OK;
}

void sweep(LiveZone* zone) {
    if (zone->access.journal.is_open()) {
        reclaim_dead(&zone->access.journal, now_by_nginx());
        zone->sweep.start(kSweepInterval);
    }
}

void sample(LiveZone* zone) {
    if (zone->access.journal.is_open()) {
        sample_zone(*zone->conf);
        zone->sampling.start(kSamplingInterval);
    }
}

/** A single process has nobody to sweep up after, and its zones may go while its timers stay. */
ngx_int_t start_timers(ngx_cycle_t* cycle, const ZoneConf* zone, bool is_seen) {
    LiveZone* live = zone->live;
    if (ngx_process != NGX_PROCESS_WORKER || !live->access.journal.is_open()) {
        return NGX_OK;
    }
    if (zone->flights || zone->waits) {
        // A worker that has died is missed by those that remain; not all are replaced by the
        // master.
        live->sweep.init<sweep>(live, cycle->log);
        live->sweep.start(kSweepInterval);
    }
    if (start_saving(zone, cycle) != NGX_OK) {
        return NGX_ERROR;
    }
    if (is_seen) {
        sample_zone(*zone);
        live->sampling.init<sample>(live, cycle->log);
        live->sampling.start(kSamplingInterval);
    }
    return NGX_OK;
}

ngx_int_t enter_zone(ngx_cycle_t* cycle, const ZoneConf* zone) {
    Journal* journal = &zone->live->access.journal;
    if (!journal->open(Zone(zone->live->memory), &kHost, static_cast<uint32_t>(ngx_pid),
                       birth_of_this_process())) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "ai_limit zone \"%V\" is used by too many processes, this one does not limit",
                      &zone->name);
        return NGX_OK;
    }
    zone->live->access.on_full = zone->on_full;
    start_redis_clock(journal->zone(), now_by_nginx());
    start_ledgers(journal->zone(), now_by_nginx().wall);
    reclaim_dead(journal, now_by_nginx());
    return NGX_OK;
}

/** Returns a stand-in for a limit in a variable or of a provider, which is not known before a
 * request asks: it says as little as possible. */
Limit stand_in_limit(const PolicyConf& policy) {
    Rate rate{};
    parse_rate("1r/s", &rate);
    Limit limit = token_bucket_limit(rate, 1);
    limit.measure = policy.variable == nullptr ? policy.limit.measure : Measure::kRequests;
    limit.algorithm = policy.algorithm;
    limit.time_zone = policy.time_zone;
    limit.by_wall = policy.limit.by_wall;
    return limit;
}

/** Makes what the policy asks of every request, with its numbers in the zone; they are 0 if the
 * zone has no room. */
void take_numbers(const PolicyConf& policy, Journal* journal) {
    std::string_view name = view(policy.name);
    Limit stand_in = stand_in_limit(policy);
    bool varies = policy.variable != nullptr || is_learned(policy);
    LivePolicy* live = policy.live;
    ZoneLock lock(*policy.zone->shm);
    live->ask.policy = register_policy(journal, name, varies ? &stand_in : &live->limit, varies);
    if (policy.may_count_tokens) {
        live->reservation_limit = reservation_limit();
        live->reservation = {&live->reservation_limit, live->ask.access, 0, 0, policy.dry_run};
        live->reservation.decider = live->ask.decider;
        live->reservation.policy = register_policy(journal, name, &live->reservation_limit, false);
    }
    if (policy.syncs) {
        live->ledger = {&live->ledger_limit, live->ask.access, 0, 0, policy.dry_run};
        live->ledger.decider = live->ask.decider;
        live->ledger.policy = register_policy(journal, name, &live->ledger_limit, false);
    }
    if (policy.sharer != nullptr) {
        live->sharer_limit = sharer_limit(policy.has_concurrency);
        live->sharer = {&live->sharer_limit, live->ask.access, 1, 0, policy.dry_run};
        live->sharer.policy = register_policy(journal, name, &live->sharer_limit, false);
    }
}

void register_in_zone(const PolicyConf& policy) {
    LivePolicy* live = policy.live;
    ZoneAccess* access = &policy.zone->live->access;
    live->limit = policy.limit;
    live->ledger_limit = policy.ledger_limit;
    live->ask = {&live->limit, access, policy.cost, 0, policy.dry_run};
    live->ask.decider = policy.in_redis ? Decider::kAlone : Decider::kHere;
    if (!access->journal.is_open()) {
        return;
    }
    take_numbers(policy, &access->journal);
    if (live->ask.policy != 0) {
        const Journal& journal = access->journal;
        live->counts = counts_of(journal.zone(), live->ask.policy, journal.number());
        live->top_keys = journal.zone().top_keys(live->ask.policy);
        live->sharer_names =
            policy.sharer != nullptr ? journal.zone().sharer_names(live->ask.policy) : nullptr;
        journal.zone().policy(live->ask.policy)->in_redis = policy.in_redis;
        log_too_many_periods(policy, ngx_cycle->log);
    }
    live->usable = live->ask.policy != 0 &&
                   (!policy.may_count_tokens || live->reservation.policy != 0) &&
                   (!policy.syncs || live->ledger.policy != 0) &&
                   (policy.sharer == nullptr || live->sharer.policy != 0);
    live->plain = live->usable && policy.variable == nullptr && policy.cost_variable == nullptr &&
                  !policy.may_count_tokens && !policy.in_redis && policy.sharer == nullptr &&
                  policy.wait == 0 && policy.upstream == nullptr && policy.label == nullptr;
}

ngx_int_t request_zone(ngx_conf_t* cf, ZoneConf* zone) {
    zone->sizes = sizes_for(zone->size, zone->small, zone->wide, zone->ledgers, zone->sharers);
    zone->sizes.queues = zone->waits ? queues_for(zone->size) : 0;
    zone->sizes.account_sets = zone->upstreams ? kAccountSets : 0;
    zone->live = allocate<LiveZone>(cf);
    if (zone->live == nullptr) {
        return NGX_ERROR;
    }
    zone->live->conf = zone;
    zone->shm = ngx_shared_memory_add(cf, &zone->name, shared_memory_size(*zone),
                                      &ngx_http_ai_limit_module);
    if (zone->shm == nullptr) {
        return NGX_ERROR;
    }
    zone->cycle = cf->cycle;
    zone->shm->init = init_zone;
    zone->shm->data = zone;
    return NGX_OK;
}

}  // namespace

void sample_zone(const ZoneConf& zone) {
    const Zone& seen = zone.live->access.journal.zone();
    Millis now = now_by_nginx().monotonic;
    if (take_samples(seen, now) && has_overrides(seen)) {
        ZoneLock lock(*zone.shm);
        drop_expired_overrides(seen, now);
    }
}

ngx_int_t request_zones(ngx_conf_t* cf) {
    for (ZoneConf* zone : Elements<ZoneConf>(main_conf(cf)->zones)) {
        if (request_zone(cf, zone) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    return NGX_OK;
}

ngx_int_t ngx_http_ai_limit_init_process(ngx_cycle_t* cycle) {
    const MainConf* conf = main_conf_of(cycle);
    if (conf == nullptr ||
        (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)) {
        return NGX_OK;
    }
    for (const ZoneConf* zone : zones_of(*conf)) {
        if (enter_zone(cycle, zone) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    if (conf->redis != nullptr && conf->zones.nelts != 0) {
        start_sharing(conf->redis->live, *conf);
        start_sync(conf->redis->live);
        start_announcing(conf->redis->live);
        start_sharing_overrides(conf->redis->live);
    }
    for (const PolicyConf* policy : policies_of(*conf)) {
        register_in_zone(*policy);
    }
    for (const ZoneConf* zone : zones_of(*conf)) {
        if (start_timers(cycle, zone, conf->api) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    return NGX_OK;
}

void ngx_http_ai_limit_exit_process(ngx_cycle_t* cycle) {
    const MainConf* conf = main_conf_of(cycle);
    forget_digest_context();
    if (conf == nullptr) {
        return;
    }
    if (conf->redis != nullptr && conf->zones.nelts != 0) {
        stop_sharing_overrides(conf->redis->live);
        stop_announcing(conf->redis->live);
        stop_sync(conf->redis->live);
        stop_sharing(conf->redis->live);
        forget_spare_decisions();
    }
    for (const ZoneConf* zone : zones_of(*conf)) {
        Journal* journal = &zone->live->access.journal;
        stop_saving(zone);
        if (journal->is_open()) {
            reclaim_self(journal, now_by_nginx());
        }
        if (ngx_process == NGX_PROCESS_SINGLE) {
            save_at_end(zone, cycle->log);
        }
    }
}

void ngx_http_ai_limit_exit_master(ngx_cycle_t* cycle) {
    const MainConf* conf = main_conf_of(cycle);
    if (conf == nullptr) {
        return;
    }
    for (const ZoneConf* zone : zones_of(*conf)) {
        save_at_end(zone, cycle->log);
    }
}

}  // namespace ai_limit
