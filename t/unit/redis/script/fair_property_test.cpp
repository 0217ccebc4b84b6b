// Tests that the script decides on sharers what core/ decides in a zone, whatever the limits, the
// costs and the weights.

#include <memory>
#include <vector>

#include "fair_script_tests.h"
#include "random.h"

namespace ai_limit {
namespace {

using namespace fair_script_tests;

constexpr uint64_t kKeyHash = 77'000;
const char* const kRequestRates[] = {"60r/m", "7r/s", "100r/10s", "5r/h", "1000r/d", "33r/2s"};
const char* const kTokenRates[] = {"1000t/m", "100kt/h", "999t/s", "50kt/5m", "1Mt/d"};

/** One policy, whose key sharers use, in Redis and in a zone. */
struct Shared {
    ZonePolicy in_redis;
    TokenPolicy here;
    ZonePolicy sharer;
    bool is_settled;
    bool has_slots;
};

/** A request in both places. */
struct Both {
    Both(FairRedis* redis, const ZoneUser& user) : there(redis), here(user) {}

    FairRequest there;
    Request here;
    std::vector<const Shared*> policies;
};

class FairWorld {
public:
    explicit FairWorld(uint64_t seed)
        : random_(seed),
          memory_(sizes_for(1 << 20, true, true, false, true)),
          user_(memory_.zone(), &kAllAlive, 1) {
        const size_t n = 1 + random_.below(3);
        for (size_t i = 0; i < n; ++i) {
            add_policy_of(random_limit());
        }
        for (uint32_t& weight : weights_) {
            weight = static_cast<uint32_t>(random_.one_in(2) ? 1 : 1 + random_.below(9));
        }
        pass_time(static_cast<Millis>(random_.below(2 * kDay)));
    }

    /** Redis has forgotten a sharer that core/ knows: the test can say no more. */
    bool has_forgotten = false;

    void step() {
        const uint64_t what = random_.below(11);
        if (what < 2) {
            pass_time(random_time());
        } else if (what < 8) {
            ask();
        } else if (what < 9) {
            grow();
        } else {
            end();
        }
    }

private:
    Limit random_limit() {
        if (random_.one_in(4)) {
            return concurrency_limit(random_.below(12));
        }
        const bool in_tokens = random_.one_in(2);
        Rate rate{};
        Limit limit{};
        const char* text = in_tokens ? random_.one_of(kTokenRates) : random_.one_of(kRequestRates);
        const Amount burst = random_.one_in(2) ? 0 : 1 + random_.below(2000);
        const Millis zones[] = {0, 19'800'000};
        const Algorithm algorithm = random_.one_of(kRates);
        EXPECT_EQ(parse_rate(text, &rate), nullptr);
        EXPECT_EQ(
            make_limit(algorithm, rate, algorithm == Algorithm::kTokenBucket ? burst : 0,
                       algorithm == Algorithm::kFixedWindow ? random_.one_of(zones) : 0, &limit),
            nullptr);
        return limit;
    }

    void add_policy_of(const Limit& limit) {
        const std::string name = std::to_string(policies_.size());
        const bool has_slots = limit.algorithm == Algorithm::kConcurrency;
        Shared shared{};
        shared.in_redis = redis_.add(limit);
        shared.is_settled = !has_slots && limit.measure != Measure::kRequests;
        shared.has_slots = has_slots;
        Limit counted = limit;
        counted.by_wall = true;
        shared.here.held = add_policy(memory_.zone(), name.c_str(), reservation_limit());
        shared.here.used = add_policy(memory_.zone(), name.c_str(), counted);
        shared.sharer = add_policy(memory_.zone(), name.c_str(), sharer_limit(has_slots));
        policies_.push_back(shared);
    }

    Millis random_time() {
        const uint64_t kind = random_.below(8);
        return static_cast<Millis>(kind < 5   ? random_.scaled(2'000)
                                   : kind < 7 ? random_.scaled(100'000)
                                              : random_.scaled(2 * kDay));
    }

    /** All that is in flight is renewed in time. */
    void pass_time(Millis time) {
        const Millis step = in_flight_.empty() ? time : Millis{10'000};
        for (; time > step; time -= step) {
            redis_.pass(step);
            for (const std::unique_ptr<Both>& both : in_flight_) {
                renew(both.get());
            }
            time = in_flight_.empty() ? time : std::min<Millis>(time, 50'000);
        }
        redis_.pass(time);
        for (const std::unique_ptr<Both>& both : in_flight_) {
            renew(both.get());
        }
        redis_.skew = random_.one_in(2) ? 0 : random_.between(-400, 400);
    }

    void renew(Both* both) {
        for (size_t i = 0; i < both->policies.size(); ++i) {
            if (is_in_flight(*both, i)) {
                both->there.renew(i);
            }
        }
    }

    static bool is_in_flight(const Both& both, size_t i) {
        const Shared& policy = *both.policies[i];
        return (policy.has_slots || policy.is_settled) && both.there.verdict(i) == Verdict::kPassed;
    }

    Amount random_cost(const Shared& policy) {
        if (policy.has_slots) {
            return 1;
        }
        if (!policy.is_settled) {
            return 1 + random_.below(3);
        }
        return random_.one_in(8) ? 0 : random_.scaled(policy.here.used.limit.capacity / 2 + 2);
    }

    void ask() {
        auto both = std::make_unique<Both>(&redis_, user_);
        for (size_t i = 0; i < policies_.size(); ++i) {
            if (!both->policies.empty() && random_.one_in(3)) {
                continue;
            }
            const Shared& policy = policies_[i];
            const size_t who = random_.below(4);
            const Amount cost = random_cost(policy);
            const bool dry_run = random_.one_in(10);
            const std::string key = "k" + std::to_string(i);
            both->there.charge(policy.in_redis, key, cost, dry_run)
                .of(std::to_string(who), weights_[who]);
            if (policy.is_settled) {
                both->here.charge_tokens(policy.here, kKeyHash, cost, dry_run);
            } else {
                both->here.charge(policy.here.used, kKeyHash, cost, dry_run);
            }
            both->here.for_sharer(policy.sharer, 1000 * (who + 1), weights_[who]);
            both->policies.push_back(&policy);
        }
        std::vector<bool> known;
        for (size_t i = 0; i < both->policies.size(); ++i) {
            known.push_back(redis_.model.exists(std::string(both->there.sharer(i).key)));
        }
        const bool passes = both->here.admit(redis_.now);
        for (size_t i = 0; i < both->policies.size(); ++i) {
            const SharerCharge& sharer = both->here.sharer(i);
            const bool refills = both->here[i].limit->algorithm == Algorithm::kTokenBucket;
            const Amount taken = sharer.part.is_own ? sharer.taken : 0;
            has_forgotten |= refills && !known[i] && sharer.state.sharer.used != taken << 20;
        }
        if (has_forgotten) {
            return;
        }
        ASSERT_EQ(both->there.passes(), passes);
        for (size_t i = 0; i < both->policies.size(); ++i) {
            SCOPED_TRACE("charge " + std::to_string(i));
            compare(*both, i);
        }
        if (passes) {
            in_flight_.push_back(std::move(both));
        }
    }

    static void compare(const Both& both, size_t i) {
        const SharerCharge& here = both.here.sharer(i);
        const RedisSharer& there = both.there.sharer(i);
        ASSERT_EQ(there.part.is_own, here.part.is_own);
        ASSERT_EQ(there.part.left, here.part.left);
        ASSERT_EQ(there.part.claimed, here.part.claimed);
        ASSERT_EQ(there.part.wait, here.part.wait);
        ASSERT_EQ(there.part.need, here.part.need);
        ASSERT_EQ(there.part.weights, here.part.weights);
        // Redis forgets the virtual time of a key that nobody uses.
        ASSERT_EQ(there.start - there.served, here.start - here.floor);
        ASSERT_EQ(both.there.verdict(i), both.here[i].verdict);
        ASSERT_EQ(both.there.used(i) + both.there.reserved(i), both.here.used(i));
    }

    /** A request reserves more. Redis grants all or nothing, the core as much as fits. */
    void grow() {
        if (in_flight_.empty()) {
            return;
        }
        Both* both = in_flight_[random_.below(in_flight_.size())].get();
        const size_t i = random_.below(both->policies.size());
        if (!is_in_flight(*both, i) || both->policies[i]->has_slots ||
            both->here.reservation(i).flight == nullptr) {
            return;
        }
        has_forgotten |= !redis_.model.exists(std::string(both->there.sharer(i).key));
        if (has_forgotten) {
            return;
        }
        const Amount more = 1 + random_.scaled(both->here[i].limit->capacity);
        const Amount granted = both->here.grow(i, more, redis_.now);
        const RedisGrowth growth = both->there.grow(i, granted != 0 ? granted : more);
        ASSERT_TRUE(growth.is_known);
        ASSERT_EQ(growth.grows, granted != 0);
        ASSERT_TRUE(granted != 0 || growth.left == 0) << growth.left;
    }

    /** Ends a request: all of it at once. */
    void end() {
        if (in_flight_.empty()) {
            return;
        }
        const size_t which = random_.below(in_flight_.size());
        const std::unique_ptr<Both> both = std::move(in_flight_[which]);
        in_flight_.erase(in_flight_.begin() + static_cast<ptrdiff_t>(which));
        for (size_t i = 0; i < both->policies.size(); ++i) {
            const Shared& policy = *both->policies[i];
            if (!is_in_flight(*both, i)) {
                continue;
            }
            const Amount most = policy.here.used.limit.capacity + 1;
            const Amount used = policy.has_slots ? 0 : random_.scaled(most);
            if (policy.is_settled) {
                both->here.settle(i, used, redis_.now);
            }
            both->there.settle(i, used);
            for (uint64_t times = 1 + random_.below(2); times != 0; --times) {
                both->there.end(i, used);
            }
        }
        both->here.end();
    }

    Random random_;
    ZoneMemory memory_;
    ZoneUser user_;
    FairRedis redis_;
    std::vector<Shared> policies_;
    uint32_t weights_[4];
    std::vector<std::unique_ptr<Both>> in_flight_;
};

TEST(FairScriptProperty, DecidesLikeTheCore) {
    int forgotten = 0;
    for (uint64_t seed = 0; seed < 80; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        FairWorld world(seed);
        for (int i = 0; i < 120 && !world.has_forgotten; ++i) {
            SCOPED_TRACE("step " + std::to_string(i));
            world.step();
            if (HasFatalFailure() || HasNonfatalFailure()) {
                return;
            }
        }
        forgotten += world.has_forgotten ? 1 : 0;
    }
    EXPECT_LT(forgotten, 8);
}

}  // namespace
}  // namespace ai_limit
