#include "core/snapshot.h"

namespace ai_limit {

ZoneSnapshot look_at(const Zone& zone) {
    const ZoneHeader& header = *zone.header();
    ZoneSnapshot seen{};
    seen.entries = count_entries(zone);
    seen.capacity = count_cells(zone);
    seen.idle_evictions = header.idle_evictions.load(std::memory_order_relaxed);
    seen.live_evictions = header.live_evictions.load(std::memory_order_relaxed);
    seen.no_room = header.no_room.load(std::memory_order_relaxed);
    return seen;
}

}  // namespace ai_limit
