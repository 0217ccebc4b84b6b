#pragma once

// A zone for the tests of policies that count requests.

#include <thread>

#include "zone_memory.h"

namespace ai_limit::rate_zone {

constexpr Now kNow{1'000'000'000, 1'755'780'000'000};
constexpr Millis kHour = 3'600'000;

inline const Host kHost = {[](uint32_t, uint64_t) { return true; },
                           [] { std::this_thread::yield(); }};

constexpr Now later(Millis millis) {
    return {kNow.monotonic + millis, kNow.wall + millis};
}

/** A zone for policies that count requests, and a process that uses it. */
struct RateZone {
    explicit RateZone(const ZoneSizes& sizes, OnFull on_full = OnFull::kEvict)
        : memory(sizes), zone(memory.zone()), user(zone, &kHost, 1, 0, on_full) {}

    bool take(const ZonePolicy& policy, uint64_t hash, Now now = kNow, Amount cost = 1) {
        return Request(user).charge(policy, hash, cost).admit(now);
    }

    Verdict verdict(const ZonePolicy& policy, uint64_t hash, Now now = kNow) {
        Request request(user);
        request.charge(policy, hash).admit(now);
        return request[0].verdict;
    }

    Amount used(const ZonePolicy& policy, uint64_t hash, Now now = kNow) const {
        return peek(user, policy, hash, now);
    }

    ZonePolicy policy(const char* name, Algorithm algorithm, Amount capacity) const {
        return add_policy(zone, name, hourly(algorithm, capacity));
    }

    uint64_t cells(const Geometry& geometry) const {
        return zone.buckets(geometry) * geometry.cells;
    }

    ZoneMemory memory;
    Zone zone;
    ZoneUser user;
};

}  // namespace ai_limit::rate_zone
