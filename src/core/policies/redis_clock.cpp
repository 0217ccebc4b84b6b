#include "core/policies/redis_clock.h"

namespace ai_limit {

namespace {

constexpr Millis kClearlyApart = 20;

}  // namespace

void start_redis_clock(const Zone& zone, Now here) {
    ZoneHeader* header = zone.header();
    int64_t offset = here.wall - here.monotonic;
    int64_t none = 0;
    if (header->redis_clock_base.compare_exchange_strong(none, offset)) {
        header->redis_clock_offset.store(offset);
        return;
    }
    // Another process is about to set the offset, or was killed before it could.
    none = 0;
    header->redis_clock_offset.compare_exchange_strong(none, header->redis_clock_base.load());
}

void set_redis_clock(const Zone& zone, Now here, Millis theirs) {
    std::atomic<int64_t>* offset = &zone.header()->redis_clock_offset;
    int64_t seen = theirs - here.monotonic;
    int64_t present = offset->load(std::memory_order_relaxed);
    if (seen > present || seen < present - kClearlyApart) {
        offset->store(seen, std::memory_order_relaxed);
    }
}

}  // namespace ai_limit
