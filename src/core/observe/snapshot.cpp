#include "core/observe/snapshot.h"

namespace ai_limit {

ZoneSnapshot look_at(const Zone& zone) {
    const ZoneHeader& header = *zone.header();
    ZoneSnapshot seen{};
    seen.entries = count_entries(zone);
    seen.capacity = count_cells(zone);
    seen.idle_evictions = header.idle_evictions.load(std::memory_order_relaxed);
    seen.live_evictions = header.live_evictions.load(std::memory_order_relaxed);
    seen.zone_full = header.zone_full.load(std::memory_order_relaxed);
    seen.unknown_prices = header.unknown_prices.load(std::memory_order_relaxed);
    seen.state_failed = header.save_failed.load(std::memory_order_relaxed) != 0;
    seen.state_failures = header.save_failures.load(std::memory_order_relaxed);
    seen.state_saved_at = header.saved_at.load(std::memory_order_relaxed);
    return seen;
}

RedisSnapshot look_at_redis(const Zone& zone) {
    const RemoteTraffic& traffic = zone.header()->traffic;
    RedisSnapshot seen{};
    seen.nodes = zone.header()->nodes.load(std::memory_order_relaxed);
    seen.answered = traffic.answered.load(std::memory_order_relaxed);
    seen.refused = traffic.refused.load(std::memory_order_relaxed);
    seen.lost = traffic.lost.load(std::memory_order_relaxed);
    seen.micros = traffic.micros.load(std::memory_order_relaxed);
    for (size_t i = 0; i < kTrafficBuckets; ++i) {
        seen.buckets[i] = traffic.buckets[i].load(std::memory_order_relaxed);
    }
    return seen;
}

}  // namespace ai_limit
