// Tests that the script decides what core/ decides, state for state, whatever the limits, the costs
// and the clocks.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/limits/algorithm.h"
#include "core/limits/rate.h"
#include "random.h"
#include "redis/script/script.h"
#include "redis_model/redis_calls.h"
#include "redis_model/redis_model.h"
#include "script_reference.h"

namespace ai_limit {
namespace {

using namespace script_reference;

/** Returns the script's answer for one charge. */
std::vector<int64_t> reported(const Reference& key, const Reference::Weighed& weighed) {
    std::vector<int64_t> numbers = {weighed.fits ? 1 : 0};
    const auto add = [&](auto... values) {
        (numbers.push_back(static_cast<int64_t>(values)), ...);
    };
    switch (key.limit.algorithm) {
        case Algorithm::kTokenBucket: {
            const token_bucket::Level level = token_bucket::unpack(weighed.state.pair);
            add(weighed.held, level.used, level.at + kBegin - kDay,
                token_bucket::parts_of(key.limit, level), key.limit.refill_millis);
            break;
        }
        case Algorithm::kSlidingWindow:
            add(weighed.held, weighed.state.sliding_window.last_charge);
            for (const uint32_t count : weighed.state.sliding_window.used) {
                add(count);
            }
            break;
        case Algorithm::kFixedWindow:
            add(weighed.held, weighed.state.fixed_window.used, weighed.state.fixed_window.start,
                weighed.state.fixed_window.end);
            break;
        case Algorithm::kConcurrency:
        case Algorithm::kReservation:
        case Algorithm::kLedger:
        case Algorithm::kSharer:
        case Algorithm::kSharerOfSlots:
            add(0, weighed.held);
            break;
    }
    return numbers;
}

const std::string kRates[] = {
    "1r/month",
    "1000000r/s",
    "5r/s",
    "7r/h",
    "100r/15m",
    "100kt/m",
    "999999999999t/7d",
    "1000Gt/366d",
    "1000Gt/s",
    "3.7kt/13h",
    "0.5r/s",
    "0.000000001r/366d",
    "1r/366d",
    "0r/s",
    "60r/8s",
    "4294967295t/d",
    "123456789.123456t/7h",
    "1000Gt/7month",
    "7777777777t/d",
    "2r/w",
    "333333333333t/3s",
    "1r/s",
};

/** Some policies of nodes that share a Redis, and all that may happen to them. */
class World {
public:
    explicit World(uint64_t seed) : random_(seed), model_(limit_script()) {
        const size_t n = 1 + random_.below(4);
        has_other_limits_ = random_.one_in(3);
        for (size_t i = 0; i < n; ++i) {
            keys_.emplace_back(random_limit());
            in_tokens_.push_back(keys_.back().limit.algorithm == Algorithm::kConcurrency ||
                                 random_.one_in(2));
        }
        move_to(kBegin + random_.between(0, 400 * kDay));
    }

    void step() {
        pass_time();
        const uint64_t what = random_.below(20);
        if (what < 11) {
            take();
        } else if (what < 16) {
            settle();
        } else if (what < 17) {
            renew();
        } else if (what < 19) {
            grow();
        } else {
            change();
        }
        check_keys();
    }

private:
    Limit random_limit() {
        for (;;) {
            const Algorithm algorithms[] = {Algorithm::kTokenBucket, Algorithm::kTokenBucket,
                                            Algorithm::kSlidingWindow, Algorithm::kFixedWindow,
                                            Algorithm::kConcurrency};
            const Algorithm algorithm = random_.one_of(algorithms);
            if (algorithm == Algorithm::kConcurrency) {
                return concurrency_limit(random_.below(5));
            }
            Rate rate{};
            Limit limit{};
            const Amount burst = random_.one_in(2) ? 0 : random_.scaled(kMaxAmount);
            const Millis zones[] = {0, 19'800'000, -12'600'000};
            if (parse_rate(random_rate(), &rate) == nullptr &&
                make_limit(algorithm, rate, burst, random_.one_of(zones), &limit) == nullptr) {
                limit.rate_number = number_of(limit.refill_millis);
                if (limit.rate_number != kNoRateNumber) {
                    return limit;
                }
            }
        }
    }

    /** Half of them of much the same periods, so that a changed one matters. */
    std::string random_rate() {
        if (random_.one_in(2)) {
            return random_.one_of(kRates);
        }
        return std::to_string(1 + random_.below(1000)) + "r/" +
               std::to_string(1 + random_.below(40)) + "s";
    }

    /**
     * Returns a rate's number as policies.h gives it, kNoRateNumber if there are no numbers left.
     */
    uint8_t number_of(uint64_t refill_millis) {
        const auto found = std::find(rates_.begin(), rates_.end(), refill_millis);
        const size_t place = static_cast<size_t>(found - rates_.begin());
        if (place + 1 < kNoRateNumber && found == rates_.end()) {
            rates_.push_back(refill_millis);
        }
        return static_cast<uint8_t>(place + 1);
    }

    static std::string name_of(size_t i) { return "key" + std::to_string(i); }

    void pass_time() {
        const Reference& key = keys_[random_.below(keys_.size())];
        Millis longest = 20 * kDay;
        if (key.limit.algorithm == Algorithm::kTokenBucket) {
            longest = std::min(longest, key.limit.fills_in + 1);
        } else if (key.limit.algorithm != Algorithm::kConcurrency) {
            longest = std::min(longest, key.limit.period_length);
        }
        const uint64_t kind = random_.below(16);
        Millis length = kind < 4 ? 0
                        : kind < 12
                            ? static_cast<Millis>(random_.scaled(static_cast<uint64_t>(longest)))
                        : kind < 14 ? random_.between(0, 3 * kLease)
                                    : -random_.between(0, std::min(longest, 3 * kLease));
        // The clock steps back by a lease at most in all.
        move_to(std::max(now_ + length, latest_ - kLease));
    }

    /** Nothing that still says something expires. */
    void move_to(Millis now) {
        now_ = now;
        latest_ = std::max(latest_, now);
        model_.set_clock(now);
        for (size_t i = 0; i < keys_.size(); ++i) {
            Reference& key = keys_[i];
            if (!key.flights.empty() && !model_.exists(flights_of(name_of(i)))) {
                for (const auto& flight : key.flights) {
                    ASSERT_LE(flight.second.lease_ends, now) << flight.first;
                }
                key.flights.clear();
            }
            if (key.present && !model_.exists(name_of(i))) {
                if (!has_other_limits_) {
                    ASSERT_EQ(used(key.limit, key.at(now)), 0U) << name_of(i);
                }
                key.keep({});
                // The reserved amount no longer matters two leases after the last request.
                key.held = 0;
            }
        }
    }

    void take() {
        struct Asked {
            size_t key;
            RedisCharge charge;
            Reference::Weighed weighed;
        };
        std::vector<Asked> asked;
        for (size_t i = 0; i < keys_.size(); ++i) {
            if (random_.one_in(4)) {
                continue;
            }
            const Limit& limit = keys_[i].limit;
            RedisCharge charge{&limit, name_of(i), ""};
            charge.cost = limit.algorithm == Algorithm::kConcurrency ? 1
                          : random_.one_in(8)                        ? 0
                          : random_.one_in(8)                        ? random_.scaled(kMaxAmount)
                                              : random_.scaled(limit.capacity + 1);
            if (in_tokens_[i]) {
                charge.member = std::to_string(++members_);
                charge.member += limit.algorithm == Algorithm::kConcurrency
                                     ? ""
                                     : ":" + std::to_string(charge.cost);
            }
            charge.dry_run = random_.one_in(6);
            asked.push_back({i, charge, {}});
        }
        std::vector<RedisCharge> charges;
        bool passes = true;
        for (Asked& one : asked) {
            charges.push_back(one.charge);
            one.weighed = keys_[one.key].weigh(one.charge.cost, !one.charge.member.empty(), now_);
            passes = passes && (one.weighed.fits || one.charge.dry_run);
        }
        std::vector<int64_t> expected = {passes ? 1 : 0, now_};
        for (Asked& one : asked) {
            conclude(&keys_[one.key], one.charge, &one.weighed, passes);
            const std::vector<int64_t> part = reported(keys_[one.key], one.weighed);
            expected.insert(expected.end(), part.begin(), part.end());
        }
        ASSERT_EQ(run(take_call(charges, kLease, now_ + skew())), expected);
    }

    void conclude(Reference* key, const RedisCharge& charge, Reference::Weighed* weighed,
                  bool passes) {
        const bool charged = passes && weighed->fits;
        if (charged && !charge.member.empty()) {
            key->flights[charge.member] = {charge.cost, now_ + kLease};
            in_flight_.push_back(
                {static_cast<size_t>(key - keys_.data()), charge.member, charge.cost, key->limit});
            weighed->held += charge.cost;
        } else if (charged) {
            ai_limit::charge(key->limit, &weighed->state, charge.cost, key->clock(now_));
        }
        const bool has_state = key->limit.algorithm != Algorithm::kConcurrency;
        if (has_state && (weighed->changed || (charged && charge.cost != 0))) {
            key->keep(*weighed);
        }
    }

    void settle() {
        if (in_flight_.empty()) {
            return;
        }
        std::vector<RedisSettlement> settlements;
        std::set<size_t> taking_part;
        std::vector<InFlight> landed;
        for (int i = 0; i < 2 && !in_flight_.empty(); ++i) {
            const size_t which = random_.below(in_flight_.size());
            const InFlight flight = in_flight_[which];
            if (!taking_part.insert(flight.key).second) {
                continue;
            }
            // One in four is settled again some day.
            if (!random_.one_in(4)) {
                in_flight_.erase(in_flight_.begin() + static_cast<ptrdiff_t>(which));
            }
            const Amount most = random_.one_in(8) ? kMaxAmount : 2 * flight.amount + 1;
            const Amount amount = random_.one_in(4) ? 0 : random_.scaled(most);
            keys_[flight.key].settle(flight.member, flight.amount, amount, now_);
            settlements.push_back({&keys_[flight.key].limit, name_of(flight.key), flight.member,
                                   flight.amount, static_cast<int64_t>(amount)});
        }
        const RedisCall call = settle_call(settlements, now_ + skew());
        ASSERT_EQ(run(call), std::vector<int64_t>{now_});
        if (random_.one_in(2)) {
            ASSERT_EQ(run(call), std::vector<int64_t>{now_});
        }
    }

    /** One member reserves more, under another name. */
    void grow() {
        if (in_flight_.empty()) {
            return;
        }
        InFlight* flight = &in_flight_[random_.below(in_flight_.size())];
        Reference* key = &keys_[flight->key];
        if (key->limit.algorithm == Algorithm::kConcurrency) {
            return;
        }
        const Amount more = 1 + random_.scaled(key->limit.capacity + 1);
        const std::string former = flight->member;
        const std::string member =
            former.substr(0, former.find(':') + 1) + std::to_string(flight->amount + more);
        Reference::Weighed weighed = key->weigh(more, true, now_);
        const bool is_known = key->flights.count(former) != 0;
        weighed.fits = weighed.fits && is_known;
        if (weighed.fits) {
            key->flights.erase(former);
            key->flights[member] = {flight->amount + more, now_ + kLease};
            weighed.held += more;
            flight->member = member;
            flight->amount += more;
        }
        if (is_known && !weighed.fits) {
            key->flights[former].lease_ends = now_ + kLease;
        }
        if (weighed.fits || weighed.changed) {
            key->keep(weighed);
        }
        std::vector<int64_t> expected = {is_known ? 1 : 0, now_};
        const std::vector<int64_t> part = reported(*key, weighed);
        expected.insert(expected.end(), part.begin(), part.end());
        const RedisCall call = grow_call(key->limit, name_of(flight->key), member, more, former,
                                         kLease, now_ + skew());
        ASSERT_EQ(run(call), expected);
        if (weighed.fits && random_.one_in(2)) {
            ASSERT_EQ(run(call), expected) << "the same call again";
        }
    }

    void renew() {
        if (in_flight_.empty()) {
            return;
        }
        const size_t key = in_flight_[random_.below(in_flight_.size())].key;
        std::vector<std::string> members;
        for (const InFlight& flight : in_flight_) {
            if (flight.key == key && !random_.one_in(4)) {
                members.push_back(flight.member);
                keys_[key].renew(flight.member, flight.amount, now_ + kLease);
            }
        }
        ASSERT_EQ(run(renew_call(keys_[key].limit, name_of(key), members, kLease)),
                  std::vector<int64_t>{now_});
    }

    /** Redis loses its data, or somebody changes a rate. */
    void change() {
        const size_t i = random_.below(keys_.size());
        if (random_.one_in(2)) {
            model_.remove(name_of(i));
            keys_[i].keep({});
            if (random_.one_in(2)) {
                model_.remove(flights_of(name_of(i)));
                keys_[i].flights.clear();
            }
        } else if (has_other_limits_) {
            for (;;) {
                const Limit limit = random_limit();
                if (limit.algorithm == keys_[i].limit.algorithm) {
                    keys_[i].limit = limit;
                    return;
                }
            }
        }
    }

    /** Everything expires, and all is there that the reference has. */
    void check_keys() {
        for (const std::string& key : model_.keys()) {
            ASSERT_GT(model_.time_to_live(key), 0) << key;
        }
        for (size_t i = 0; i < keys_.size(); ++i) {
            ASSERT_EQ(model_.exists(name_of(i)), keys_[i].present) << name_of(i);
            ASSERT_EQ(model_.exists(flights_of(name_of(i))), !keys_[i].flights.empty())
                << name_of(i);
        }
    }

    /** Returns by how much the asking node's clock is ahead. */
    Millis skew() { return random_.one_in(2) ? 0 : random_.between(-900, 900); }

    std::vector<int64_t> run(const RedisCall& call) {
        const std::vector<int64_t> reply = model_.run(call.keys, call.arguments);
        EXPECT_EQ(model_.error(), "");
        return reply;
    }

    struct InFlight {
        size_t key;
        std::string member;
        Amount amount;
        Limit limit;
    };

    Random random_;
    RedisModel model_;
    Millis now_ = 0;
    Millis latest_ = 0;
    bool has_other_limits_ = false;
    std::vector<uint64_t> rates_;
    std::vector<Reference> keys_;
    std::vector<bool> in_tokens_;
    std::vector<InFlight> in_flight_;
    uint64_t members_ = 0;
};

TEST(RedisScriptProperty, DecidesLikeTheCore) {
    for (uint64_t seed = 0; seed < 250; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        World world(seed);
        for (int i = 0; i < 60; ++i) {
            SCOPED_TRACE("step " + std::to_string(i));
            world.step();
            if (HasFatalFailure() || HasNonfatalFailure()) {
                return;
            }
        }
    }
}

TEST(RedisScriptProperty, RestartsASlidingWindowUnderAnotherPeriod) {
    RedisModel model(limit_script());
    for (uint64_t seed = 0; seed < 600; ++seed) {
        Random random(seed);
        model.remove_all();
        const auto any_limit = [&] {
            Rate rate{};
            const std::string text = "1000r/" + std::to_string(1 + random.below(20)) + "s";
            EXPECT_EQ(parse_rate(text, &rate), nullptr);
            return sliding_window_limit(rate);
        };
        Reference key(any_limit());
        Millis now = kBegin + random.between(0, kDay);
        for (int i = 0; i < 25; ++i) {
            now += random.between(0, key.limit.period_length / 6);
            model.set_clock(now);
            if (!model.exists("k")) {
                key.keep({});
            }
            if (random.one_in(4)) {
                key.limit = any_limit();
            }
            const Amount cost = 1 + random.below(50);
            Reference::Weighed weighed = key.weigh(cost, false, now);
            if (weighed.fits) {
                charge(key.limit, &weighed.state, cost, key.clock(now));
                key.keep(weighed);
            }
            std::vector<int64_t> expected = {weighed.fits ? 1 : 0, now};
            const std::vector<int64_t> part = reported(key, weighed);
            expected.insert(expected.end(), part.begin(), part.end());
            const RedisCall call = take_call({{&key.limit, "k", "", cost}}, kLease, now);
            ASSERT_EQ(model.run(call.keys, call.arguments), expected) << seed << ", " << i;
        }
    }
}

}  // namespace
}  // namespace ai_limit
