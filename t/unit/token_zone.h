#pragma once

// A zone for the tests of policies in tokens.

#include <gtest/gtest.h>

#include <thread>

#include "core/decide/settlement.h"
#include "zone_memory.h"

namespace ai_limit::token_zone {

constexpr Millis kMinute = 60'000;
constexpr Millis kHour = 60 * kMinute;
constexpr Now kNow{1000 * kHour, 1'755'777'600'000};  // both at a whole hour

inline const Host kHost = {[](uint32_t, uint64_t) { return true; },
                           [] { std::this_thread::yield(); }};

constexpr Now later(Millis millis) {
    return {kNow.monotonic + millis, kNow.wall + millis};
}

/** A zone for policies in tokens, and a process that uses it. */
struct TokenZone {
    explicit TokenZone(const ZoneSizes& sizes = {64, 64, 16}, OnFull on_full = OnFull::kEvict)
        : memory(sizes), zone(memory.zone()), user(zone, &kHost, 1, 0, on_full) {}

    TokenPolicy tokens(Algorithm algorithm, const char* rate, const char* name = "tokens") const {
        return add_token_policy(zone, name, limit_of_rate(algorithm, rate));
    }
    Amount used(const TokenPolicy& policy, uint64_t hash, Now now = kNow) const {
        return look(user, policy.used, hash, now);
    }
    Amount held(const TokenPolicy& policy, uint64_t hash) const {
        return look(user, policy.held, hash, kNow);
    }
    Request admitted(const TokenPolicy& policy, uint64_t hash, Amount reserve,
                     Now now = kNow) const {
        Request request(user);
        EXPECT_TRUE(request.charge_tokens(policy, hash, reserve).admit(now));
        return request;
    }
    bool admits(const TokenPolicy& policy, uint64_t hash, Amount reserve, Now now = kNow) const {
        Request request(user);
        return request.charge_tokens(policy, hash, reserve).would_admit(now);
    }

    ZoneMemory memory;
    Zone zone;
    ZoneUser user;
};

}  // namespace ai_limit::token_zone
