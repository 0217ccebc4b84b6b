// Any history of requests that reserve tokens, reserve more, and are settled, against a slow
// reference that counts exactly.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/decide/settlement.h"
#include "random.h"
#include "zone_memory.h"

namespace ai_limit {
namespace {

__extension__ typedef __int128 Exact;

constexpr Millis kMinute = 60'000;
constexpr Millis kHour = 60 * kMinute;
constexpr Now kNow{1000 * kHour, 1'755'777'600'000};  // both at a whole hour

/** The use of one policy by one key. */
class Use {
public:
    virtual ~Use() = default;
    virtual Amount used(const Limit& limit, Now now) const = 0;
    /** Charges an amount that is not 0. */
    virtual void charge(const Limit& limit, Amount amount, Now now) = 0;
};

/** A bucket that keeps the exact fraction of the next unit that has come back. */
class ExactBucket : public Use {
public:
    Amount used(const Limit& limit, Now now) const override {
        Exact refill = static_cast<Exact>(limit.refill_millis);
        return static_cast<Amount>((owed(limit, now) + refill - 1) / refill);
    }
    void charge(const Limit& limit, Amount amount, Now now) override {
        owed_ = owed(limit, now) + Exact{amount} * limit.refill_millis;
        at_ = std::max(at_, now.monotonic);
        refill_millis_ = limit.refill_millis;
    }

private:
    /** Returns what is owed, in parts of 1 / refill_millis of one. */
    Exact owed(const Limit& limit, Now now) const {
        Exact owed = owed_;
        if (refill_millis_ != limit.refill_millis) {
            // Rounds the part of the next one that has come back to whole parts of the new rate.
            owed = (owed * limit.refill_millis + refill_millis_ - 1) / refill_millis_;
        }
        owed -= Exact{std::max(at_, now.monotonic) - at_} * limit.refill_amount;
        return std::max(owed, Exact{0});
    }

    Exact owed_ = 0;
    Millis at_ = 0;
    uint64_t refill_millis_ = 1;
};

/** All charges, each in the eighth of the period that it falls into: the newest count until the
 * last of them is a period ago, the others until the end of their eighth is. */
class ExactSlidingWindow : public Use {
public:
    Amount used(const Limit& limit, Now now) const override {
        Amount sum = 0;
        for (const auto& [number, amount] : charges_) {
            sum += counts(limit, number, now) ? amount : 0;
        }
        return sum;
    }
    void charge(const Limit& limit, Amount amount, Now now) override {
        if (amount != 0) {
            for (auto& [number, charged] : charges_) {
                charged = counts(limit, number, now) ? charged : 0;
            }
            last_ = std::max(last_, now.monotonic);
            charges_.emplace_back(eighth(limit, last_), amount);
        }
    }

private:
    bool counts(const Limit& limit, Millis number, Now now) const {
        return number == eighth(limit, last_)
                   ? now.monotonic < last_ + limit.period_length
                   : number + 8 >= eighth(limit, std::max(last_, now.monotonic));
    }

    static Millis eighth(const Limit& limit, Millis time) {
        return time / (limit.period_length / 8);
    }

    std::vector<std::pair<Millis, Amount>> charges_;
    Millis last_ = 0;
};

/** Counts what was used in the latest hour of the wall clock in which there was a charge. */
class ExactFixedWindow : public Use {
public:
    Amount used(const Limit& limit, Now now) const override {
        return hour_ >= now.wall / kHour ? used_ : 0;
    }
    void charge(const Limit& limit, Amount amount, Now now) override {
        used_ = used(limit, now) + amount;
        hour_ = std::max(hour_, now.wall / kHour);
    }

private:
    Amount used_ = 0;
    Millis hour_ = 0;
};

std::unique_ptr<Use> reference_of(Algorithm algorithm) {
    if (algorithm == Algorithm::kTokenBucket) {
        return std::make_unique<ExactBucket>();
    }
    if (algorithm == Algorithm::kSlidingWindow) {
        return std::make_unique<ExactSlidingWindow>();
    }
    return std::make_unique<ExactFixedWindow>();
}

// --- any history

/** With kAny, settlements may exceed what was reserved, limits change, and the clocks step back. */
enum class Conduct { kHonest, kAny };

/** Requests of several keys and layers, which come and end at random, and what must be counted. */
class History {
public:
    static constexpr int kKeys = 3;

    History(uint64_t seed, Conduct conduct)
        : random_(seed),
          conduct_(conduct),
          memory_({64, 64, 16}),
          users_{{memory_.zone(), &kAllAlive, 1}, {memory_.zone(), &kAllAlive, 2}} {
        for (size_t i = 0; i < std::size(kRates); ++i) {
            static const char* const kLimits[][3] = {{"1000t/h", "600t/2m", "7000t/h"},
                                                     {"500t/h", "900t/h", "200t/h"},
                                                     {"400t/h", "700t/h", "100t/h"}};
            for (const char* rate : kLimits[i]) {
                layers_[i].limits.push_back(add_token_policy(memory_.zone(),
                                                             name_of(kRates[i]).c_str(),
                                                             limit_of_rate(kRates[i], rate), true));
                note_limit(memory_.zone(), layers_[i].limits.back().used.number,
                           &layers_[i].limits.back().used.limit);
            }
            for (std::unique_ptr<Use>& use : layers_[i].use) {
                use = reference_of(kRates[i]);
            }
        }
    }

    void step() {
        pass_time();
        if (conduct_ == Conduct::kAny && random_.one_in(20)) {
            layers_[random_.below(std::size(layers_))].present = random_.below(3);
        }
        if (!under_way_.empty() && random_.below(10) < 4) {
            end_one();
        } else if (!under_way_.empty() && random_.one_in(4)) {
            grow_one();
        } else {
            ask();
        }
        check();
    }

    void end() {
        while (!under_way_.empty() && !testing::Test::HasFatalFailure()) {
            end_one();
            check();
        }
        EXPECT_EQ(flights_in(memory_.zone()), 0u);
        EXPECT_TRUE(is_at_rest(memory_.zone()));
        for (const Layer& layer : layers_) {
            EXPECT_EQ(entries_of(memory_.zone(), layer.limits[0].held), 0u);
        }
    }

private:
    struct Layer {
        std::vector<TokenPolicy> limits;
        size_t present = 0;
        std::unique_ptr<Use> use[kKeys];
        Amount held[kKeys] = {};
        uint64_t overshoot = 0;
    };

    /** One layer's part in a request. */
    struct Part {
        size_t layer;
        size_t limit;
        int key;
        Amount reserve;
        bool dry_run;
        bool fits;
        size_t charge;  // its place in the request
    };

    struct UnderWay {
        Request request;
        std::vector<Part> parts;
        size_t user;
        int slot_key;  // -1: no slot is taken
        FlightRecord* slot;
    };

    static uint64_t hash_of(int key) {
        return (static_cast<uint64_t>(key) + 1) * 0x9E37'79B9'7F4A'7C15;
    }

    const TokenPolicy& policy_of(const Part& part) const {
        return layers_[part.layer].limits[part.limit];
    }

    void pass_time() {
        Millis step = random_.one_in(3) ? static_cast<Millis>(random_.scaled(10 * kMinute)) : 0;
        step = random_.one_in(50) ? random_.between(0, 3 * kHour) : step;
        if (conduct_ == Conduct::kAny && random_.one_in(12)) {
            step = -random_.between(0, 10 * kMinute);
        }
        now_ = {now_.monotonic + step, now_.wall + step};
    }

    Part part_of(size_t layer) {
        Part part{};
        part.layer = layer;
        part.limit = layers_[layer].present;
        part.key = static_cast<int>(random_.below(kKeys));
        const Limit& limit = policy_of(part).used.limit;
        part.reserve = random_.one_in(5)    ? 0
                       : random_.one_in(10) ? limit.capacity + random_.below(2)
                                            : random_.scaled(limit.capacity / 2);
        part.dry_run = random_.one_in(6);
        return part;
    }

    bool fits(const Part& part) const {
        const Limit& limit = policy_of(part).used.limit;
        const Layer& layer = layers_[part.layer];
        return layer.use[part.key]->used(limit, now_) + layer.held[part.key] +
                   std::max(part.reserve, Amount{1}) <=
               limit.capacity;
    }

    void ask() {
        UnderWay one{Request(users_[0]), {}, random_.below(2), -1, nullptr};
        one.request = Request(users_[one.user]);
        bool passes = true;
        const size_t first = random_.below(std::size(layers_));
        const size_t count = random_.below(std::size(layers_) + 1);
        for (size_t i = 0; i < count; ++i) {
            Part part = part_of((first + i) % std::size(layers_));
            part.fits = fits(part);
            passes = passes && (part.fits || part.dry_run);
            one.request.charge_tokens(policy_of(part), hash_of(part.key), part.reserve,
                                      part.dry_run);
            part.charge = one.request.count() - 1;
            one.parts.push_back(part);
        }
        // Layers in requests and in flight go with them, or alone.
        const int key = static_cast<int>(random_.below(kKeys));
        const bool counts = count == 0 || random_.one_in(2);
        const Amount cost = 1 + random_.below(3);
        if (counts) {
            one.request.charge(requests_, hash_of(key), cost);
            passes = passes && request_use_[key].used(requests_.limit, now_) + cost <=
                                   requests_.limit.capacity;
        }
        const bool flies = random_.one_in(2);
        if (flies) {
            one.request.charge(slots_, hash_of(key));
            passes = passes && in_flight_[key] < slots_.limit.capacity;
        }
        if (random_.one_in(2)) {
            ASSERT_EQ(one.request.would_admit(now_), passes);
            ASSERT_NO_FATAL_FAILURE(check());
        }
        ASSERT_EQ(one.request.admit(now_), passes);
        for (const Part& part : one.parts) {
            ASSERT_NO_FATAL_FAILURE(look_at(one.request, part, passes));
        }
        if (!passes) {
            return;
        }
        if (counts) {
            request_use_[key].charge(requests_.limit, cost, now_);
        }
        if (flies) {
            one.slot_key = key;
            one.slot = one.request[one.request.count() - 1].flight;
            ++in_flight_[key];
        }
        for (const Part& part : one.parts) {
            layers_[part.layer].held[part.key] += part.fits ? part.reserve : 0;
        }
        under_way_.push_back(std::move(one));
    }

    void look_at(const Request& request, const Part& part, bool passed) const {
        const Charge& reservation = request.reservation(part.charge);
        const Charge& use = request[part.charge];
        ASSERT_EQ(use.verdict, part.fits ? Verdict::kPassed : Verdict::kRefused);
        ASSERT_EQ(reservation.verdict, use.verdict);
        ASSERT_EQ(use.flight, nullptr);
        ASSERT_EQ(reservation.flight != nullptr, passed && part.fits && part.reserve != 0);
        const Layer& layer = layers_[part.layer];
        const Limit& limit = policy_of(part).used.limit;
        const Amount taken = layer.use[part.key]->used(limit, now_) + layer.held[part.key] +
                             (passed && part.fits ? part.reserve : 0);
        ASSERT_EQ(request.used(part.charge), taken);
        if (passed && part.fits) {
            ASSERT_LE(taken, limit.capacity);
        }
    }

    void grow_one() {
        UnderWay* one = &under_way_[random_.below(under_way_.size())];
        for (Part& part : one->parts) {
            if (!part.fits || random_.one_in(3)) {
                continue;
            }
            Layer* layer = &layers_[part.layer];
            const Limit& limit = policy_of(part).used.limit;
            const Amount more = random_.scaled(limit.capacity / 2);
            const Amount taken = layer->use[part.key]->used(limit, now_) + layer->held[part.key];
            const Amount room = taken < limit.capacity ? limit.capacity - taken : 0;
            ASSERT_EQ(one->request.grow(part.charge, more, now_), std::min(more, room));
            part.reserve += std::min(more, room);
            layer->held[part.key] += std::min(more, room);
            const FlightRecord* flight = one->request.reservation(part.charge).flight;
            ASSERT_EQ(flight != nullptr ? flight->amount : 0, part.reserve);
        }
    }

    void end_one() {
        const size_t i = random_.below(under_way_.size());
        UnderWay one = std::move(under_way_[i]);
        under_way_[i] = std::move(under_way_.back());
        under_way_.pop_back();
        for (const Part& part : one.parts) {
            if (part.fits) {
                ASSERT_NO_FATAL_FAILURE(settle(&one.request, part));
            }
        }
        if (one.slot != nullptr) {
            end_flight(users_[one.user].access(), one.slot);
            --in_flight_[one.slot_key];
        }
    }

    void settle(Request* request, const Part& part) {
        Layer* layer = &layers_[part.layer];
        const Limit& limit = policy_of(part).used.limit;
        Amount tokens = 0;
        switch (random_.below(conduct_ == Conduct::kAny ? 4 : 3)) {
            case 0:
                break;
            case 1:
                tokens = random_.below(part.reserve + 1);
                break;
            case 2:
                tokens = part.reserve;
                break;
            default:
                tokens = part.reserve + random_.scaled(2 * limit.capacity);
                break;
        }
        if (tokens != 0) {
            layer->use[part.key]->charge(limit, tokens, now_);
        }
        layer->held[part.key] -= part.reserve;
        const Amount used = layer->use[part.key]->used(limit, now_);
        const Amount above =
            std::min(tokens, used > limit.capacity ? used - limit.capacity : Amount{0});
        ASSERT_EQ(request->settle(part.charge, tokens, now_), above);
        ASSERT_EQ(request->reservation(part.charge).flight, nullptr);
        layer->overshoot += above;
    }

    void check() const {
        for (const Layer& layer : layers_) {
            const TokenPolicy& policy = layer.limits[layer.present];
            for (int key = 0; key < kKeys; ++key) {
                const Amount used = look(users_[0], policy.used, hash_of(key), now_);
                ASSERT_EQ(used, layer.use[key]->used(policy.used.limit, now_))
                    << name_of(policy.used.limit.algorithm);
                ASSERT_EQ(look(users_[0], policy.held, hash_of(key), now_), layer.held[key]);
                if (conduct_ == Conduct::kHonest) {
                    ASSERT_LE(used + layer.held[key], policy.used.limit.capacity);
                }
            }
            ASSERT_EQ(memory_.zone().policy(policy.used.number)->overshoot.load(), layer.overshoot);
        }
        for (int key = 0; key < kKeys; ++key) {
            ASSERT_EQ(look(users_[0], requests_, hash_of(key), now_),
                      request_use_[key].used(requests_.limit, now_));
            ASSERT_EQ(look(users_[0], slots_, hash_of(key), now_), in_flight_[key]);
        }
    }

    Random random_;
    Conduct conduct_;
    Now now_ = kNow;
    ZoneMemory memory_;
    ZoneUser users_[2];
    Layer layers_[std::size(kRates)];
    ZonePolicy requests_ =
        add_policy(memory_.zone(), "requests", hourly(Algorithm::kTokenBucket, 30));
    ZonePolicy slots_ = add_policy(memory_.zone(), "slots", hourly(Algorithm::kConcurrency, 4));
    ExactBucket request_use_[kKeys];
    Amount in_flight_[kKeys] = {};
    std::vector<UnderWay> under_way_;
};

void tell(Conduct conduct, uint64_t seeds) {
    for (uint64_t seed = 1; seed <= seeds; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        History history(seed, conduct);
        for (int i = 0; i < 250; ++i) {
            ASSERT_NO_FATAL_FAILURE(history.step()) << "step " << i;
        }
        ASSERT_NO_FATAL_FAILURE(history.end());
    }
}

TEST(SettlementProperty, NeverExceedsTheLimitIfNobodyUsesMoreThanReserved) {
    tell(Conduct::kHonest, 25);
}

TEST(SettlementProperty, CountsReservedAndUsedTokensExactlyWhateverChanges) {
    tell(Conduct::kAny, 40);
}

}  // namespace
}  // namespace ai_limit
