// Runs any sequence of decisions, ends of requests, deaths of processes and moves to zones of other
// sizes. The counts are never more than the limits allow, never what nobody took, and nothing stays
// locked.

#include <cstdio>
#include <map>
#include <utility>
#include <vector>

#include "zone_memory.h"

namespace ai_limit {
namespace {

void check(bool holds, const char* what) {
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

constexpr int kUsers = 3;
constexpr int kPolicies = 6;
constexpr int kKeys = 24;

bool g_is_dead[1000];
const Host kHost = {[](uint32_t pid, uint64_t) { return !g_is_dead[pid]; }, [] {}};

/** Reads the input from its front, then as much again that follows from it, so that short ones do a
 * lot. */
class Input {
public:
    Input(const uint8_t* data, size_t size) : data_(data), size_(size) {
        for (size_t i = 0; i < size; ++i) {
            rest_ = (rest_ ^ data[i]) * 0x0000'0100'0000'01B3;
        }
    }

    bool is_empty() const { return size_ == 0 && more_ == 0; }

    uint32_t byte() {
        if (size_ != 0) {
            --size_;
            return *data_++;
        }
        more_ -= more_ != 0 ? 1 : 0;
        rest_ ^= rest_ << 13;
        rest_ ^= rest_ >> 7;
        rest_ ^= rest_ << 17;
        return static_cast<uint32_t>(rest_ >> 32 & 0xff);
    }

    uint32_t below(uint32_t n) { return byte() % n; }

private:
    const uint8_t* data_;
    size_t size_;
    size_t more_ = 150;
    uint64_t rest_ = 0xCBF2'9CE4'8422'2325;
};

constexpr uint32_t kProcesses = 12;  // that these tests ever use at a time

/** is_at_rest() without the processes that there never were. */
bool is_quiet(const Zone& zone) {
    for (const Geometry& geometry : {kSmall, kWide}) {
        for (uint64_t i = 0; i < zone.buckets(geometry); ++i) {
            if (zone.bucket(geometry, i)->lock.load() != 0) {
                return false;
            }
        }
    }
    for (uint32_t number = 1; number <= kProcesses; ++number) {
        if (zone.journal(number)->locks != 0 || zone.journal(number)->undos != 0 ||
            zone.process(number)->repairer.load() != 0) {
            return false;
        }
    }
    return zone.process(kProcesses)->pid.load() == 0;
}

/** A zone of zeros; the memory of an earlier one of the same size, since most of it is never
 * written. */
class Pool {
public:
    Zone take(const ZoneSizes& sizes) {
        for (Block& block : blocks_) {
            if (!block.in_use && same(block.memory->zone().sizes(), sizes)) {
                block.in_use = true;
                return clear(*block.memory);
            }
        }
        blocks_.push_back({std::make_unique<ZoneMemory>(sizes), true});
        return blocks_.back().memory->zone();
    }

    void give_back(const Zone& zone) {
        for (Block& block : blocks_) {
            block.in_use = block.in_use && block.memory->zone().header() != zone.header();
        }
    }

private:
    struct Block {
        std::unique_ptr<ZoneMemory> memory;
        bool in_use;
    };

    static bool same(const ZoneSizes& a, const ZoneSizes& b) {
        return a.small_buckets == b.small_buckets && a.wide_buckets == b.wide_buckets &&
               a.flight_chunks == b.flight_chunks;
    }

    static Zone clear(ZoneMemory& memory) {
        memory.begin_anew();
        return memory.zone();
    }

    std::vector<Block> blocks_;
};

Pool g_pool;

ZoneSizes sizes_from(Input* input) {
    return {8 + 8 * uint64_t{input->below(3)}, 8 * uint64_t{input->below(3)}, 1 + input->below(4)};
}

class World {
public:
    explicit World(Input* input) : input_(input) {
        for (bool& dead : g_is_dead) {
            dead = false;
        }
        // Small zones have no wide entries where no policy wants them: here one may.
        ZoneSizes sizes = sizes_from(input);
        sizes.wide_buckets = sizes.wide_buckets != 0 ? sizes.wide_buckets : 8;
        zone_ = g_pool.take(sizes);
        on_full_ = static_cast<OnFull>(input->below(3));
        for (int i = 0; i < kPolicies; ++i) {
            static const char* kNames[kPolicies] = {"a", "b", "c", "d", "e", "f"};
            // Two of the last kind are requests in flight.
            Algorithm algorithm = static_cast<Algorithm>(i % 4);
            policies_[i] = add_policy(zone(), kNames[i], hourly(algorithm, 1 + input->below(20)));
        }
        for (int i = 0; i < kUsers; ++i) {
            restart(i);
        }
    }

    ~World() {
        for (int i = 0; i < kUsers; ++i) {
            die(i);
        }
        ZoneUser last(zone(), &kHost, next_pid_++);
        reclaim_dead(last.journal(), Now{});
        check(flights_in(zone()) == 0, "requests of the dead are in flight");
        check(is_quiet(zone()), "a lock or a change is left");
        g_pool.give_back(zone());
    }

    void step() {
        now_.monotonic += input_->below(8) == 0 ? Millis{input_->byte()} * 30'000 : 0;
        now_.wall = now_.monotonic + 1'755'780'000'000;
        int user = static_cast<int>(input_->below(kUsers));
        switch (input_->below(12)) {
            case 0:
                end_one(user);
                break;
            case 1:
                end_one(user);
                end_one(user);
                break;
            case 2:
                die(user);
                restart(user);
                break;
            case 3:
                reclaim_dead(users_[user].zone->journal(), Now{});
                break;
            case 4:
                leave(user);
                restart(user);
                break;
            case 5:
                move();
                break;
            default:
                decide(user);
                break;
        }
        check(is_quiet(zone()), "a lock or a change is left");
    }

private:
    struct Held {
        FlightRecord* flight;
        int policy;
        uint64_t hash;
    };
    struct User {
        std::unique_ptr<ZoneUser> zone;
        uint32_t pid;
        std::vector<Held> held;
    };

    const Zone& zone() const { return zone_; }

    static uint64_t hash_of(uint32_t key) { return (uint64_t{key} + 1) * 0x9E37'79B9'7F4A'7C15; }

    void decide(int user) {
        Request request(*users_[user].zone);
        bool chosen[kPolicies] = {};
        std::vector<std::pair<int, uint64_t>> which;
        size_t count = 1 + input_->below(kPolicies);
        for (size_t i = 0; i < count; ++i) {
            int policy = static_cast<int>(input_->below(kPolicies));
            uint64_t hash = hash_of(input_->below(kKeys));
            if (chosen[policy]) {
                continue;  // a request has each policy once
            }
            chosen[policy] = true;
            uint32_t detail = input_->byte();
            bool in_flight = policies_[policy].limit.algorithm == Algorithm::kConcurrency;
            Amount cost = in_flight ? 1 : detail % 24;
            request.charge(policies_[policy], hash, cost, detail >= 224);
            which.emplace_back(policy, hash);
        }
        bool passed = request.admit(now_);
        for (size_t i = 0; i < request.count(); ++i) {
            look_at(request[i], passed);
            if (request[i].flight != nullptr) {
                users_[user].held.push_back({request[i].flight, which[i].first, which[i].second});
            }
        }
    }

    static void look_at(const Charge& charge, bool passed) {
        const Limit& limit = *charge.limit;
        bool in_flight = limit.algorithm == Algorithm::kConcurrency;
        Amount taken = used(limit, charge.state);
        check(taken <= limit.capacity, "more is used than the limit allows");
        check(passed || charge.flight == nullptr, "a refused request is in flight");
        check(!passed || charge.dry_run || charge.verdict == Verdict::kPassed ||
                  charge.verdict == Verdict::kUncounted,
              "a request passed that a policy refuses");
        check(!in_flight || charge.flight == nullptr || charge.verdict == Verdict::kPassed,
              "in flight, but not counted");
    }

    void end_one(int user) {
        std::vector<Held>* held = &users_[user].held;
        if (held->empty()) {
            return;
        }
        size_t i = input_->below(static_cast<uint32_t>(held->size()));
        end_flight(users_[user].zone->access(), (*held)[i].flight);
        (*held)[i] = held->back();
        held->pop_back();
        check_in_flight();
    }

    void die(int user) { g_is_dead[users_[user].pid] = true; }

    void leave(int user) {
        reclaim_self(users_[user].zone->journal(), Now{});
        die(user);
    }

    void restart(int user) {
        users_[user].pid = next_pid_++;
        users_[user].held.clear();
        users_[user].zone =
            std::make_unique<ZoneUser>(zone(), &kHost, users_[user].pid, 0, on_full_);
        check(users_[user].zone->opened(), "no slot for a process");
        reclaim_dead(users_[user].zone->journal(), Now{});
        check_in_flight();
    }

    /** Moves to a zone of another size. The old processes end, as after a reload. */
    void move() {
        ZoneSizes sizes = sizes_from(input_);
        if (sizes.wide_buckets == 0) {
            return;
        }
        Zone next = g_pool.take(sizes);
        ZoneUser master(zone(), &kHost, next_pid_++);
        copy_zone(master.journal(), next, now_);
        g_pool.give_back(zone());
        zone_ = next;
        for (int i = 0; i < kUsers; ++i) {
            die(i);
        }
        for (int i = 0; i < kUsers; ++i) {
            restart(i);
        }
        check(flights_in(zone()) == 0, "requests of the old generation are in flight");
    }

    /** Checks that the counts are those of the living once all that have died were reclaimed. */
    void check_in_flight() {
        std::map<std::pair<int, uint64_t>, Amount> expected;
        for (const User& user : users_) {
            if (user.zone == nullptr || g_is_dead[user.pid]) {
                return;
            }
            for (const Held& held : user.held) {
                ++expected[{held.policy, held.hash}];
            }
        }
        for (int policy = 0; policy < kPolicies; ++policy) {
            if (policies_[policy].limit.algorithm != Algorithm::kConcurrency) {
                continue;
            }
            for (uint32_t key = 0; key < kKeys; ++key) {
                uint64_t hash = hash_of(key);
                check(peek(*users_[0].zone, policies_[policy], hash, now_) ==
                          expected[std::make_pair(policy, hash)],
                      "what is in flight is not what is counted");
            }
        }
    }

    Input* input_;
    Zone zone_;
    OnFull on_full_ = OnFull::kEvict;
    ZonePolicy policies_[kPolicies];
    User users_[kUsers];
    uint32_t next_pid_ = 1;
    Now now_ = {1'000'000'000, 0};
};

}  // namespace
}  // namespace ai_limit

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    ai_limit::Input input(data, size < 300 ? size : 300);
    ai_limit::World world(&input);
    while (!input.is_empty()) {
        world.step();
    }
    return 0;
}
