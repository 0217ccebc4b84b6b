#include "nginx/turns/watch.h"

#include <new>

#include "core/zone/key_queue.h"

namespace ai_limit {

/** The keys of one zone that are watched, by the groups of their queues. */
struct WatchedZone {
    ngx_queue_t link;
    const ZoneAccess* access;
    uint32_t keys;
    uint32_t seen[QueueChanges::kGroups];
    ngx_queue_t groups[QueueChanges::kGroups];
};

namespace {

// Milliseconds between two looks at what has changed: while nothing does, and for so many looks
// after something did. Where turns pass from worker to worker, each of them waits for a look.
constexpr ngx_msec_t kTick = 5;
constexpr ngx_msec_t kBusyTick = 1;
constexpr uint32_t kBusyTicks = 5;

/** This worker's zones with such keys. */
struct WatchedZones {
    ngx_queue_t zones;  // zero at first
    Timer ticks;
    uint32_t busy;  // looks that follow a change

    /** A single process outlives the log of a cycle that was replaced. */
    void start_ticks();
};
WatchedZones all;

void look_at_group(ngx_queue_t* group) {
    ngx_queue_t* next = nullptr;
    for (ngx_queue_t* link = ngx_queue_head(group); link != ngx_queue_sentinel(group);
         link = next) {
        next = ngx_queue_next(link);
        look_if_changed(ngx_queue_data(link, Watch, link));
    }
}

/** Returns true if something has changed. */
bool look_at_zone(WatchedZone* zone) {
    const Journal& journal = zone->access->journal;
    if (!journal.is_open()) {
        return false;
    }
    bool has_changed = false;
    const QueueChanges& changes = *journal.zone().queue_changes();
    for (uint32_t i = 0; i < QueueChanges::kGroups; ++i) {
        const uint32_t now = changes.groups[i].load(std::memory_order_acquire);
        if (now != zone->seen[i]) {
            zone->seen[i] = now;
            look_at_group(&zone->groups[i]);
            has_changed = true;
        }
    }
    return has_changed;
}

void tick(WatchedZones* watched) {
    watched->busy -= watched->busy != 0 ? 1 : 0;
    ngx_queue_t* next = nullptr;
    for (ngx_queue_t* link = ngx_queue_head(&watched->zones);
         link != ngx_queue_sentinel(&watched->zones); link = next) {
        WatchedZone* zone = ngx_queue_data(link, WatchedZone, link);
        if (zone->keys != 0 && look_at_zone(zone)) {
            watched->busy = kBusyTicks;
        }
        next = ngx_queue_next(link);
        if (zone->keys == 0) {
            ngx_queue_remove(link);
            ngx_free(zone);
        }
    }
    if (!ngx_queue_empty(&watched->zones)) {
        watched->start_ticks();
    }
}

void WatchedZones::start_ticks() {
    if (!ticks.is_set()) {
        ticks.init<tick>(this, ngx_cycle->log);
        ticks.start(busy != 0 ? kBusyTick : kTick);
    }
}

WatchedZone* find_zone(const ZoneAccess* access) {
    if (all.zones.next == nullptr) {
        ngx_queue_init(&all.zones);
    }
    for (ngx_queue_t* link = ngx_queue_head(&all.zones); link != ngx_queue_sentinel(&all.zones);
         link = ngx_queue_next(link)) {
        WatchedZone* zone = ngx_queue_data(link, WatchedZone, link);
        if (zone->access == access) {
            return zone;
        }
    }
    return nullptr;
}

WatchedZone* make_zone(const ZoneAccess* access) {
    void* memory = ngx_calloc(sizeof(WatchedZone), ngx_cycle->log);
    if (memory == nullptr) {
        return nullptr;
    }
    WatchedZone* zone = new (memory) WatchedZone{};
    zone->access = access;
    for (ngx_queue_t& group : zone->groups) {
        ngx_queue_init(&group);
    }
    ngx_queue_insert_tail(&all.zones, &zone->link);
    return zone;
}

}  // namespace

bool begin_watch(Watch* watch, const ZoneAccess* access, uint64_t tag) {
    WatchedZone* zone = find_zone(access);
    zone = zone != nullptr ? zone : make_zone(access);
    if (zone == nullptr) {
        return false;
    }
    watch->zone = zone;
    ngx_queue_insert_tail(&zone->groups[QueueChanges::group_of(tag)], &watch->link);
    ++zone->keys;
    all.start_ticks();
    return true;
}

void end_watch(Watch* watch) {
    watch->timer.stop();
    ngx_queue_remove(&watch->link);
    --watch->zone->keys;
}

void look_in(Watch* watch, Millis delay) {
    watch->timer.stop();  // nginx would keep one that is set for about the same time
    watch->timer.init<look_when_due>(watch, ngx_cycle->log);
    watch->timer.start(static_cast<ngx_msec_t>(delay));
}

void look_soon(Watch* watch) {
    if (!watch->timer.is_set()) {
        watch->timer.init<look_when_due>(watch, ngx_cycle->log);
    }
    watch->timer.start_by(kTick);
}

}  // namespace ai_limit
