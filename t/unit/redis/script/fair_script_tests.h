#pragma once

// A Redis with both scripts, and requests to it as the module makes them.

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>

#include "core/policies/redis_clock.h"
#include "redis/script/script.h"
#include "redis/script/script_call.h"
#include "redis_model/redis_wire.h"
#include "zone_memory.h"

namespace ai_limit::fair_script_tests {

/** 2026-11-25T00:00:00Z is a hundred days after the beginning of the monotonic clock: all periods
 * and slices of time begin by both clocks at once. */
constexpr Millis kDay = 86'400'000;
constexpr Now kBegin{100 * kDay, 1'795'564'800'000};

inline Now later(Millis time) {
    return {kBegin.monotonic + time, kBegin.wall + time};
}

/** The key of Redis for a sharer of this name. */
inline std::string sharer_key(const std::string& key, const std::string& sharer) {
    KeyHash hash;
    hash_key_for_redis(sharer, std::hash<std::string>()(sharer) | 1, &hash);
    char text[kMaxRedisSharerKey];
    return {text, write_sharer_key(key, hash, text)};
}

/** Redis, and the node's side of the way there. */
class FairRedis {
public:
    FairRedis() { move_to(0); }

    /** Sets the time, in milliseconds from kBegin on. */
    void move_to(Millis time) {
        now = later(time);
        start_redis_clock(memory_.zone(), now);
        model.set_clock(now.wall);
    }
    void pass(Millis time) { move_to(now.wall - kBegin.wall + time); }

    const Reply& run(const Command& command) {
        return wire_.reply_of(run_script(&model, script_call_of(command)));
    }

    /** A policy as the zone knows it. */
    ZonePolicy add(const Limit& limit) {
        Limit counted = limit;
        counted.by_wall = true;
        return add_policy(memory_.zone(), std::to_string(++policies_).c_str(), counted);
    }

    ZoneAccess* access() { return user_.access(); }
    const Zone& zone() const { return memory_.zone(); }

    RedisModel model{std::pair(limit_script(), fair_script())};
    /** The node's own clock, which may be ahead by `skew`. */
    Now here() const { return {now.monotonic + skew, now.wall + skew}; }

    Now now = kBegin;
    Millis skew = 0;
    uint64_t members = 0;

private:
    ZoneMemory memory_{{64, 64, 16}};
    ZoneUser user_{memory_.zone(), &kAllAlive, 1};
    WireReader wire_;
    int policies_ = 0;
};

/** A request of one policy or of several. */
class FairRequest {
public:
    explicit FairRequest(FairRedis* redis) : redis_(redis) {}
    FairRequest(const FairRequest&) = delete;
    FairRequest& operator=(const FairRequest&) = delete;

    /** Charges a key by a policy, which must outlive this. */
    FairRequest& charge(const ZonePolicy& policy, const std::string& key, Amount cost = 1,
                        bool dry_run = false) {
        One* one = &ones_[count_];
        one->key = key;
        begin_charge(&one->charge, {&policy.limit, redis_->access(), cost, policy.number, dry_run},
                     7);
        charges_[count_].charge = &one->charge;
        charges_[count_].key = one->key;
        charges_[count_].member = {1, ++redis_->members};
        ++count_;
        return *this;
    }

    /** Says of which sharer the last charge is. */
    FairRequest& of(const std::string& sharer, uint32_t weight = 1, uint64_t floor = 0) {
        One* one = &ones_[count_ - 1];
        one->sharer_key = fair_script_tests::sharer_key(one->key, sharer);
        one->sharer = {one->sharer_key, weight, charges_[count_ - 1].member, floor, {}, 0, 0};
        charges_[count_ - 1].sharer = &one->sharer;
        return *this;
    }

    /** Has the last charge wait for its turn, at a node with so many that wait. */
    FairRequest& at(uint64_t node, Millis arrival = 0, uint32_t count = 1, bool waits = true) {
        One* one = &ones_[count_ - 1];
        one->turn = {node, arrival, count, count * one->charge.use.cost, waits, false, 0, 0};
        charges_[count_ - 1].turn = &one->turn;
        return *this;
    }

    bool passes() {
        static Command command;
        write_take(charges_, count_, redis_->here(), &command);
        bool passes = false;
        EXPECT_TRUE(read_take(redis_->run(command), charges_, count_, &passes, &answered));
        return passes;
    }

    /** Corrects the i-th charge's sharer. */
    void end(size_t i, Amount used) {
        static Command command;
        write_end_sharer(flight_of_sharer(i), used, redis_->zone(), redis_->here(), &command);
        redis_->run(command);
    }

    /** Settles the i-th charge of its key. */
    void settle(size_t i, Amount used) {
        static Command command;
        write_settle(flight_of(i), used, {}, redis_->zone(), redis_->here(), &command);
        redis_->run(command);
    }

    /** Grows the reservation of the i-th charge. */
    RedisGrowth grow(size_t i, Amount more) {
        static Command command;
        RedisFlight flight = flight_of(i);
        flight.growth = more;
        const RedisSharerFlight sharer = flight_of_sharer(i);
        write_grow(flight, redis_->zone(), redis_->here(), &command, &sharer);
        RedisGrowth growth{};
        EXPECT_TRUE(read_grow(redis_->run(command), flight, redis_->zone(),
                              ones_[i].charge.use.policy, &growth, true));
        ones_[i].grown += growth.grows ? more : 0;
        return growth;
    }

    /** Says that what the i-th charge has in flight still is. */
    void renew(size_t i) {
        static Command command;
        write_renew(flight_of(i), &command);
        redis_->run(command);
        write_renew_sharer(ones_[i].sharer_key, charges_[i].member, &command);
        redis_->run(command);
    }

    void give_back(size_t i) {
        static Command command;
        write_give_back(charges_[i], redis_->here(), &command);
        redis_->run(command);
        end(i, 0);
    }

    Verdict verdict(size_t i) const { return ones_[i].charge.use.verdict; }
    Amount used(size_t i) const {
        return ai_limit::used(*ones_[i].charge.use.limit, charges_[i].state);
    }
    Amount reserved(size_t i) const { return charges_[i].reserved; }
    const RedisSharer& sharer(size_t i = 0) const { return ones_[i].sharer; }
    const SharerPart& part(size_t i = 0) const { return ones_[i].sharer.part; }
    const RedisTurn& turn(size_t i = 0) const { return ones_[i].turn; }

    Millis answered = 0;

private:
    struct One {
        std::string key, sharer_key;
        PolicyCharge charge;
        RedisSharer sharer;
        RedisTurn turn;
        Amount grown;
    };

    RedisFlight flight_of(size_t i) const {
        const Charge& use = ones_[i].charge.use;
        return {ones_[i].key, charges_[i].member, use.cost + ones_[i].grown, *use.limit, 0};
    }

    RedisSharerFlight flight_of_sharer(size_t i) const {
        const RedisSharer& sharer = ones_[i].sharer;
        const Charge& use = ones_[i].charge.use;
        return {sharer.key,         sharer.member, *use.limit,
                sharer.part.is_own, use.cost,      ones_[i].grown};
    }

    FairRedis* redis_;
    std::array<One, kMaxSetPolicies> ones_{};
    RedisCharge charges_[kMaxSetPolicies];
    size_t count_ = 0;
};

}  // namespace ai_limit::fair_script_tests
