#pragma once

// The fixture of the tests of the script.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/limits/rate.h"
#include "redis/script/script.h"
#include "redis_model/redis_calls.h"
#include "redis_model/redis_model.h"

namespace ai_limit::redis_script_tests {

using Numbers = std::vector<int64_t>;

constexpr Millis kLease = 30'000;
constexpr Millis kHour = 3'600'000;

/** A whole hour: 2026-11-25T03:00:00Z. */
constexpr Millis kNow = 1'795'575'600'000;
constexpr int64_t kHourStarts = kNow / 1000;

inline Limit limit(Algorithm algorithm, const std::string& text, Amount burst = 0) {
    Rate rate{};
    Limit made{};
    EXPECT_EQ(parse_rate(text, &rate), nullptr) << text;
    EXPECT_EQ(make_limit(algorithm, rate, burst, 0, &made), nullptr) << text;
    return made;
}

inline const Limit kBucket = limit(Algorithm::kTokenBucket, "1r/h", 5);
inline const Limit kSliding = limit(Algorithm::kSlidingWindow, "5r/h");
inline const Limit kFixed = limit(Algorithm::kFixedWindow, "5r/h");
inline const Limit kTokens = limit(Algorithm::kTokenBucket, "100t/h");
inline const Limit kSlots = concurrency_limit(2);

class RedisScript : public ::testing::Test {
protected:
    RedisScript() { redis.set_clock(kNow); }

    Numbers run(const RedisCall& call) {
        Numbers reply = redis.run(call.keys, call.arguments);
        EXPECT_EQ(redis.error(), "");
        return reply;
    }

    Numbers take(const std::vector<RedisCharge>& charges) {
        return run(take_call(charges, kLease, wall));
    }

    bool passes(const std::vector<RedisCharge>& charges) { return take(charges).at(0) == 1; }

    /** Returns the answer for a token bucket under "k": {verdict, held, used}. */
    Numbers ask_tokens(const std::string& id, Amount cost) {
        const Numbers reply = take({tokens(id, cost)});
        return {reply.at(2), reply.at(3), reply.at(4)};
    }

    static RedisCharge tokens(const std::string& id, Amount cost) {
        return {&kTokens, "k", id + ":" + std::to_string(cost), cost};
    }

    void settle_tokens(const std::string& id, Amount cost, int64_t amount) {
        run(settle_call({{&kTokens, "k", id + ":" + std::to_string(cost), cost, amount}}, wall));
    }

    /** Grows the reservation of a member. Returns whether it is in flight, the verdict, and what
     * is reserved. */
    Numbers grow_tokens(const std::string& id, Amount cost, Amount more) {
        const Numbers reply = run(grow_call(kTokens, "k", id + ":" + std::to_string(cost + more),
                                            more, id + ":" + std::to_string(cost), kLease, wall));
        return {reply.at(0), reply.at(2), reply.at(3)};
    }

    void renew(const Limit& limit, const std::vector<std::string>& members) {
        run(renew_call(limit, "k", members, kLease));
    }

    RedisModel redis{limit_script()};
    Millis wall = kNow;
};

}  // namespace ai_limit::redis_script_tests
