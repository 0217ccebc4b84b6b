// Kills processes and checks what they leave behind. It does so twice: at every instruction of a
// decision, one by one, and with real processes that are killed at any moment while they decide.

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "deaths.h"
#include "random.h"
#include "zone_memory.h"

namespace ai_limit {
namespace {

constexpr Now kNow{1'000'000'000, 1'755'780'000'000};
constexpr uint64_t kKey = 0x1234'5678'9abc'def0;
constexpr uint64_t kOtherKey = 0xfedc'ba98'7654'3210;

/** Every kind of limit on one zone. Process 1 is the one that dies. */
class EveryInstruction : public testing::Test {
protected:
    void SetUp() override {
        for (bool& dead : g_is_dead) {
            dead = false;
        }
        if (const char* why = SingleStep::why_not()) {
            GTEST_SKIP() << why;
        }
    }

    Request whole_request(const ZoneUser& user, uint64_t key = kKey, Amount cost = 1) const {
        Request request(user);
        request.charge(bucket, key, cost).charge(sliding, key, cost).charge(fixed, key, cost);
        return request.charge(slots, key, cost == 0 ? 0 : 1);
    }

    /**
     * Returns what each of the three rates has used, which is the same for all of them at any time.
     */
    Amount used_by_all(const ZoneUser& user, uint64_t key = kKey) const {
        Request request = whole_request(user, key, 0);
        request.admit(kNow);
        EXPECT_EQ(request.used(0), request.used(1));
        EXPECT_EQ(request.used(0), request.used(2));
        return request.used(0);
    }

    ZoneMemory memory{kTiny};
    Zone zone = memory.zone();
    ZoneUser mortal{zone, &kStepHost, 1};
    ZonePolicy bucket = add_policy(zone, "bucket", hourly(Algorithm::kTokenBucket, 5));
    ZonePolicy sliding = add_policy(zone, "sliding", hourly(Algorithm::kSlidingWindow, 5));
    ZonePolicy fixed = add_policy(zone, "fixed", hourly(Algorithm::kFixedWindow, 5));
    ZonePolicy slots = add_policy(zone, "slots", hourly(Algorithm::kConcurrency, 5));
};

TEST_F(EveryInstruction, ADecisionIsChargedEntirelyOrNotAtAll) {
    ZoneUser other(zone, &kStepHost, 3);
    ASSERT_TRUE(whole_request(other).admit(kNow));
    ASSERT_TRUE(whole_request(other, kOtherKey).admit(kNow));

    Request request = whole_request(mortal);
    bool passed = false;
    Deaths deaths(memory, [&] { passed = request.admit(kNow); });
    ASSERT_TRUE(passed);
    ASSERT_GT(deaths.steps(), 100u) << "no single steps";
    ASSERT_GT(deaths.count(), 30u);

    g_is_dead[1] = true;
    bool seen[2] = {};
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), Now{});
        ASSERT_TRUE(is_at_rest(left->zone())) << "state " << i;
        Amount used = used_by_all(survivor);
        ASSERT_TRUE(used == 1 || used == 2) << used << " in state " << i;
        seen[used - 1] = true;
        ASSERT_EQ(used_by_all(survivor, kOtherKey), 1u) << "state " << i;
        ASSERT_EQ(peek(survivor, slots, kKey, kNow), 1u) << "state " << i;
        ASSERT_EQ(flights_in(left->zone()), 2u) << "state " << i;
        ASSERT_EQ(left->zone().process(1)->pid.load(), 0u) << "state " << i;
    }
    EXPECT_TRUE(seen[0] && seen[1]);
}

TEST_F(EveryInstruction, ANewKeysFirstDecisionIsChargedEntirelyOrNotAtAll) {
    Request request = whole_request(mortal);
    Deaths deaths(memory, [&] { request.admit(kNow); });
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), Now{});
        ASSERT_TRUE(is_at_rest(left->zone())) << "state " << i;
        ASSERT_LE(used_by_all(survivor), 1u) << "state " << i;
        ASSERT_EQ(peek(survivor, slots, kKey, kNow), 0u) << "state " << i;
        ASSERT_EQ(flights_in(left->zone()), 0u) << "state " << i;
        for (uint32_t chunk = 0; chunk < kTiny.flight_chunks; ++chunk) {
            ASSERT_EQ(left->zone().chunk_owner(chunk)->load(), 0u) << "state " << i;
        }
    }
}

TEST_F(EveryInstruction, ARefusalTakesNothing) {
    for (int i = 0; i < 4; ++i) {
        ASSERT_TRUE(whole_request(mortal).admit(kNow));
    }
    Request one_more(mortal);
    ASSERT_TRUE(one_more.charge(fixed, kKey).admit(kNow));

    Request request(mortal);
    request.charge(bucket, kKey).charge(fixed, kKey).charge(sliding, kKey);
    bool passed = true;
    Deaths deaths(memory, [&] { passed = request.admit(kNow); });
    ASSERT_FALSE(passed);
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), Now{});
        ASSERT_TRUE(is_at_rest(left->zone()));
        ASSERT_EQ(peek(survivor, bucket, kKey, kNow), 4u) << "state " << i;
        ASSERT_EQ(peek(survivor, sliding, kKey, kNow), 4u) << "state " << i;
        ASSERT_EQ(peek(survivor, fixed, kKey, kNow), 5u) << "state " << i;
    }
}

TEST_F(EveryInstruction, AnEntryThatIsPushedOutIsThereOrItsSuccessorIs) {
    // All 40 cells of the small buckets hold one key each.
    std::vector<uint64_t> keys;
    Random random(5);
    while (keys.size() < 400) {
        keys.push_back(random.below(UINT64_MAX));
        Request(mortal).charge(bucket, keys.back()).admit(kNow);
    }
    auto present = [&](const ZoneUser& user) {
        size_t count = 0;
        for (uint64_t key : keys) {
            count += peek(user, bucket, key, kNow);
        }
        return count;
    };
    ASSERT_EQ(present(mortal), 40u);

    Request request(mortal);
    request.charge(bucket, kKey, 2);
    bool passed = false;
    Deaths deaths(memory, [&] { passed = request.admit(kNow); });
    ASSERT_TRUE(passed);
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), Now{});
        Amount used = peek(survivor, bucket, kKey, kNow);
        ASSERT_TRUE(used == 0 || used == 2) << used << " in state " << i;
        ASSERT_EQ(present(survivor), used == 0 ? 40u : 39u) << "state " << i;
    }
}

/** Whenever the process died, the key has `before` used of all these policies, or one more. */
void expect_one_more_or_none(Deaths* deaths, const std::vector<ZonePolicy>& policies,
                             Amount before) {
    g_is_dead[1] = true;
    bool seen[2] = {};
    for (size_t i = 0; i < deaths->count(); ++i) {
        ZoneMemory* left = deaths->state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), Now{});
        ASSERT_TRUE(is_at_rest(left->zone())) << "state " << i;
        const Amount used = peek(survivor, policies[0], kKey, kNow);
        ASSERT_TRUE(used == before || used == before + 1) << used << " in state " << i;
        seen[used - before] = true;
        for (const ZonePolicy& policy : policies) {
            ASSERT_EQ(peek(survivor, policy, kKey, kNow), used) << "state " << i;
        }
    }
    EXPECT_TRUE(seen[0] && seen[1]);
}

TEST_F(EveryInstruction, ASingleChargeIsMadeOrNot) {
    ASSERT_TRUE(Request(mortal).charge(bucket, kKey, 2).admit(kNow));
    Request request(mortal);
    request.charge(bucket, kKey);
    bool passed = false;
    Deaths deaths(memory, [&] { passed = request.admit(kNow); });
    ASSERT_TRUE(passed);
    expect_one_more_or_none(&deaths, {bucket}, 2);
}

TEST_F(EveryInstruction, TokenBucketsOfOneKeyAreChargedTogetherOrNotAtAll) {
    const ZonePolicy hour = add_policy(zone, "hour", hourly(Algorithm::kTokenBucket, 50));
    const ZonePolicy day = add_policy(zone, "day", hourly(Algorithm::kTokenBucket, 500));
    const auto charge_all = [&](Request* request) {
        request->charge(bucket, kKey).charge(hour, kKey).charge(day, kKey);
    };
    Request first(mortal);
    charge_all(&first);
    ASSERT_TRUE(first.admit(kNow));
    Request request(mortal);
    charge_all(&request);
    bool passed = false;
    Deaths deaths(memory, [&] { passed = request.admit(kNow); });
    ASSERT_TRUE(passed);
    expect_one_more_or_none(&deaths, {bucket, hour, day}, 1);
}

TEST_F(EveryInstruction, AnEntryThatIsMovedIsInOnePlace) {
    // Fills the zone until a newcomer moves another entry to its second bucket. A newcomer that has
    // another entry forgotten is taken back.
    Random random(6);
    std::vector<uint64_t> keys;
    auto is_in_first = [&](uint64_t key) {
        uint64_t tag = tag_of(tag_base(key), bucket.number);
        return find_tag(first_bucket(zone, kSmall, tag, bucket.number), kSmall, tag) != kNoCell;
    };
    auto is_in_second = [&](uint64_t key) {
        uint64_t tag = tag_of(tag_base(key), bucket.number);
        return find_tag(second_bucket(zone, kSmall, tag), kSmall, tag) != kNoCell;
    };
    bool moved = false;
    for (int tries = 0; !moved && tries < 400; ++tries) {
        auto before = std::make_unique<ZoneMemory>(kTiny);
        memcpy(before->data(), memory.data(), memory.size());
        std::vector<bool> places;
        for (uint64_t key : keys) {
            places.push_back(is_in_first(key));
        }
        uint64_t next = random.below(UINT64_MAX);
        ASSERT_TRUE(Request(mortal).charge(bucket, next).admit(kNow));
        bool forgotten = false;
        for (size_t i = 0; i < keys.size(); ++i) {
            forgotten = forgotten || (!is_in_first(keys[i]) && !is_in_second(keys[i]));
            moved = moved || is_in_first(keys[i]) != places[i];
        }
        moved = moved && !forgotten;
        if (moved || forgotten) {
            memcpy(memory.data(), before->data(), memory.size());
        }
        if (!forgotten) {
            keys.push_back(next);
        }
    }
    ASSERT_TRUE(moved);
    uint64_t newcomer = keys.back();
    keys.pop_back();

    Request request(mortal);
    request.charge(bucket, newcomer);
    Deaths deaths(memory, [&] { request.admit(kNow); });
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), Now{});
        ASSERT_TRUE(is_at_rest(left->zone())) << "state " << i;
        Amount used = peek(survivor, bucket, newcomer, kNow);
        ASSERT_LE(used, 1u) << "state " << i;
        for (uint64_t key : keys) {
            ASSERT_EQ(peek(survivor, bucket, key, kNow), 1u) << "state " << i;
        }
        uint64_t entries = 0;
        for (uint64_t b = 0; b < kTiny.small_buckets; ++b) {
            for (uint32_t cell = 0; cell < kSmall.cells; ++cell) {
                entries += left->zone().bucket(kSmall, b)->tags[cell] != 0 ? 1 : 0;
            }
        }
        ASSERT_EQ(entries, keys.size() + used) << "state " << i;
    }
}

TEST_F(EveryInstruction, TheEndOfARequestInFlightIsCountedOnce) {
    ZoneUser other(zone, &kStepHost, 3);
    ASSERT_TRUE(whole_request(other).admit(kNow));
    Request request = whole_request(mortal);
    ASSERT_TRUE(request.admit(kNow));
    Deaths deaths(memory, [&] { end_flight(mortal.access(), request[3].flight); });
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), Now{});
        ASSERT_TRUE(is_at_rest(left->zone()));
        ASSERT_EQ(peek(survivor, slots, kKey, kNow), 1u) << "state " << i;
        ASSERT_EQ(flights_in(left->zone()), 1u) << "state " << i;
        ASSERT_EQ(used_by_all(survivor), 2u) << "state " << i;
    }
}

TEST_F(EveryInstruction, WhoeverWaitsForTheLocksGoesOn) {
    ASSERT_TRUE(whole_request(mortal).admit(kNow));
    Request request = whole_request(mortal);
    Deaths deaths(memory, [&] { request.admit(kNow); });
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        Request next = whole_request(survivor);
        ASSERT_TRUE(next.admit(kNow)) << "state " << i;
        ASSERT_TRUE(next.used(0) == 2 || next.used(0) == 3) << "state " << i;
        ASSERT_EQ(next.used(0), next.used(1)) << "state " << i;
        ASSERT_EQ(next.used(0), next.used(2)) << "state " << i;
        reclaim_dead(survivor.journal(), Now{});
        ASSERT_TRUE(is_at_rest(left->zone())) << "state " << i;
        ASSERT_EQ(peek(survivor, slots, kKey, kNow), 1u) << "state " << i;
    }
}

TEST_F(EveryInstruction, AProcessThatEndsGivesBackOnceWhatItHasInFlight) {
    ZoneUser other(zone, &kStepHost, 3);
    ASSERT_TRUE(whole_request(other).admit(kNow));
    ASSERT_TRUE(whole_request(mortal).admit(kNow));
    ASSERT_TRUE(whole_request(mortal).admit(kNow));
    Deaths deaths(memory, [&] { reclaim_self(mortal.journal(), Now{}); });
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), Now{});
        ASSERT_TRUE(is_at_rest(left->zone()));
        ASSERT_EQ(peek(survivor, slots, kKey, kNow), 1u) << "state " << i;
        ASSERT_EQ(flights_in(left->zone()), 1u) << "state " << i;
    }
}

TEST_F(EveryInstruction, AProcessSlotIsNotLostWhenItIsTaken) {
    ZoneAccess* access = new ZoneAccess();
    Deaths deaths(memory, [&] { access->journal.open(zone, &kStepHost, 4, 99); });
    g_is_dead[4] = true;
    for (size_t i = 0; i < deaths.count(); ++i) {
        ZoneMemory* left = deaths.state(i);
        reclaim_dead(mortal.journal(), Now{});
        ZoneUser survivor(left->zone(), &kStepHost, 2);
        reclaim_dead(survivor.journal(), Now{});
        uint32_t taken = 0;
        for (uint32_t number = 1; number <= kMaxProcesses; ++number) {
            taken += left->zone().process(number)->pid.load() != 0 ? 1 : 0;
        }
        ASSERT_EQ(taken, 2u) << "state " << i;
    }
    delete access;
}

/** The same for the process that repairs, at its every instruction, after the first has died. */
class EveryInstructionOfTheRepair : public EveryInstruction {
protected:
    void check(const ZoneMemory& left, Amount least, Amount most, size_t first, size_t second) {
        ZoneUser survivor(left.zone(), &kStepHost, 3);
        reclaim_dead(survivor.journal(), Now{});
        ASSERT_TRUE(is_at_rest(left.zone())) << "states " << first << ", " << second;
        Amount used = used_by_all(survivor);
        ASSERT_TRUE(used >= least && used <= most) << "states " << first << ", " << second;
        ASSERT_EQ(peek(survivor, slots, kKey, kNow), 0u) << "states " << first << ", " << second;
        ASSERT_EQ(flights_in(left.zone()), 0u) << "states " << first << ", " << second;
    }
};

TEST_F(EveryInstructionOfTheRepair, AnotherRepairsBoth) {
    ASSERT_TRUE(whole_request(mortal).admit(kNow));
    ASSERT_TRUE(whole_request(mortal).admit(kNow));
    Request request = whole_request(mortal);
    Deaths deaths(memory, [&] { request.admit(kNow); });
    g_is_dead[1] = true;
    for (size_t i = 0; i < deaths.count(); i += 1 + deaths.count() / 6) {
        g_is_dead[2] = false;
        ZoneMemory* left = deaths.state(i);
        ZoneUser repairer(left->zone(), &kStepHost, 2);
        Deaths more(*left, [&] { reclaim_dead(repairer.journal(), Now{}); });
        g_is_dead[2] = true;
        for (size_t j = 0; j < more.count(); ++j) {
            ASSERT_NO_FATAL_FAILURE(check(*more.state(j), 2, 3, i, j));
        }
    }
}

TEST_F(EveryInstructionOfTheRepair, AnotherRepairsBothWhenTheRepairerWaitedForALock) {
    ASSERT_TRUE(whole_request(mortal).admit(kNow));
    Request request = whole_request(mortal);
    Deaths deaths(memory, [&] { request.admit(kNow); });
    g_is_dead[1] = true;
    size_t i = deaths.count() / 2;  // with every lock taken, and something written
    ZoneMemory* left = deaths.state(i);
    ASSERT_FALSE(is_at_rest(left->zone()));
    ZoneUser repairer(left->zone(), &kStepHost, 2);
    Request next = whole_request(repairer);
    Deaths more(*left, [&] { next.admit(kNow); });
    g_is_dead[2] = true;
    for (size_t j = 0; j < more.count(); ++j) {
        ASSERT_NO_FATAL_FAILURE(check(*more.state(j), 1, 3, i, j));
    }
}

// --- real processes

constexpr int kKeys = 6;
constexpr int kPlentiful = 3;  // the first three keys are never refused
constexpr Amount kPlenty = 4'000'000'000;
constexpr Amount kFew = 3'000;
constexpr uint32_t kMaxIncarnations = 20'000;

/** The memory that the processes share. An incarnation is one life of one process. */
struct Shared {
    struct Tally {
        std::atomic<uint64_t> begun;
        std::atomic<uint64_t> passed;
        std::atomic<uint64_t> refused;
    };
    Tally tallies[kKeys];
    std::atomic<uint32_t> at_rest;
    std::atomic<bool> stop;
    std::atomic<bool> leave;
    std::atomic<bool> reaped[kMaxIncarnations];
    std::atomic<uint32_t> held[kMaxIncarnations][kKeys];
};

Shared* g_shared;

bool is_incarnation_alive(uint32_t pid, uint64_t birth) {
    // The parent reaps at once, but a pid may be another's soon: the birth tells.
    return !g_shared->reaped[birth].load() &&
           (kill(static_cast<pid_t>(pid), 0) == 0 || errno != ESRCH);
}

std::chrono::steady_clock::time_point g_deadline;

void yield_before_deadline() {
    if (std::chrono::steady_clock::now() > g_deadline) {
        fprintf(stderr, "a process waits for ever for a lock\n");
        _exit(4);
    }
    std::this_thread::yield();
}

const Host kRealHost = {is_incarnation_alive, yield_before_deadline};

struct Policies {
    ZonePolicy bucket[2];  // by whether the key is a plentiful one
    ZonePolicy sliding[2];
    ZonePolicy fixed[2];
    ZonePolicy slots;
    ZonePolicy address;

    explicit Policies(const Zone& zone) {
        const char* names[] = {"few", "plenty"};
        for (int i = 0; i < 2; ++i) {
            Amount capacity = i == 0 ? kFew : kPlenty;
            std::string name = names[i];
            bucket[i] = add_policy(zone, (name + " bucket").c_str(),
                                   hourly(Algorithm::kTokenBucket, capacity));
            sliding[i] = add_policy(zone, (name + " sliding").c_str(),
                                    hourly(Algorithm::kSlidingWindow, capacity));
            fixed[i] = add_policy(zone, (name + " fixed").c_str(),
                                  hourly(Algorithm::kFixedWindow, capacity));
        }
        slots = add_policy(zone, "slots", hourly(Algorithm::kConcurrency, 1000));
        address = add_policy(zone, "address", hourly(Algorithm::kTokenBucket, kPlenty));
    }

    Request& charge_rates(Request& request, int key, Amount cost) const {
        int kind = key < kPlentiful ? 1 : 0;
        uint64_t hash = hash_of(key);
        return request.charge(bucket[kind], hash, cost)
            .charge(sliding[kind], hash, cost)
            .charge(fixed[kind], hash, cost);
    }

    static uint64_t hash_of(int key) { return (uint64_t(key) + 1) * 0x2545'F491'4F6C'DD1D; }
};

/** The work of a process of the test until it is told to stop, or killed. */
class Hammer {
public:
    Hammer(const Zone& zone, const Policies& policies, uint32_t incarnation)
        : user_(zone, &kRealHost, static_cast<uint32_t>(getpid()), incarnation),
          policies_(policies),
          incarnation_(incarnation),
          random_(incarnation) {}

    int run() {
        if (!user_.opened()) {
            return 3;
        }
        reclaim_dead(user_.journal(), Now{});
        for (unsigned turn = 1; !g_shared->stop; ++turn) {
            decide();
            if (!kept_.empty() && (kept_.size() > 5 || random_.one_in(4))) {
                end_one();
            }
            if (turn % 4000 == 0) {
                reclaim_dead(user_.journal(), Now{});
            }
        }
        g_shared->at_rest.fetch_add(1);
        while (!g_shared->leave) {
            usleep(200);
        }
        while (kept_.size() > 1) {
            end_one();
        }
        reclaim_self(user_.journal(), Now{});
        return 0;
    }

private:
    struct Held {
        FlightRecord* flight;
        int key;
    };

    void decide() {
        int key = static_cast<int>(random_.below(kKeys));
        Shared::Tally* tally = &g_shared->tallies[key];
        Request request(user_);
        policies_.charge_rates(request, key, 1);
        request.charge(policies_.address, Policies::hash_of(100 + key % 2));
        bool in_flight = random_.one_in(3);
        if (in_flight) {
            request.charge(policies_.slots, Policies::hash_of(key));
        }
        tally->begun.fetch_add(1);
        if (!request.admit(kNow)) {
            tally->refused.fetch_add(1);
            return;
        }
        tally->passed.fetch_add(1);
        if (in_flight) {
            kept_.push_back({request[request.count() - 1].flight, key});
            g_shared->held[incarnation_][key].fetch_add(1);
        }
    }

    void end_one() {
        size_t i = random_.below(kept_.size());
        end_flight(user_.access(), kept_[i].flight);
        g_shared->held[incarnation_][kept_[i].key].fetch_sub(1);
        kept_[i] = kept_.back();
        kept_.pop_back();
    }

    ZoneUser user_;
    const Policies& policies_;
    uint32_t incarnation_;
    Random random_;
    std::vector<Held> kept_;
};

class KilledProcesses : public testing::Test {
protected:
    void SetUp() override {
        g_deadline = std::chrono::steady_clock::now() + std::chrono::seconds(120);
        void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ASSERT_NE(memory, MAP_FAILED);
        g_shared = static_cast<Shared*>(memory);
    }

    void TearDown() override {
        for (const Child& child : children_) {
            kill(child.pid, SIGKILL);
            waitpid(child.pid, nullptr, 0);
        }
        munmap(g_shared, sizeof(Shared));
    }

    void start(const Zone& zone, const Policies& policies) {
        uint32_t incarnation = next_++;
        ASSERT_LT(incarnation, kMaxIncarnations);
        pid_t parent = getpid();
        pid_t pid = fork();
        ASSERT_GE(pid, 0);
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            _exit(getppid() == parent ? Hammer(zone, policies, incarnation).run() : 0);
        }
        children_.push_back({pid, incarnation});
    }

    void kill_one(size_t i) {
        Child child = children_[i];
        int status = 0;
        kill(child.pid, SIGKILL);
        ASSERT_EQ(waitpid(child.pid, &status, 0), child.pid);
        ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
            << "a process ended by itself, status " << status;
        g_shared->reaped[child.incarnation] = true;
        children_.erase(children_.begin() + static_cast<long>(i));
    }

    void stop_all() {
        g_shared->stop = true;
        while (g_shared->at_rest < children_.size()) {
            ASSERT_LT(std::chrono::steady_clock::now(), g_deadline) << "a process hangs";
            usleep(1000);
        }
    }

    void let_all_leave() {
        g_shared->leave = true;
        for (const Child& child : children_) {
            int status = 0;
            ASSERT_EQ(waitpid(child.pid, &status, 0), child.pid);
            ASSERT_EQ(status, 0);
            g_shared->reaped[child.incarnation] = true;
        }
        children_.clear();
    }

    /** All layers of a key at one moment. */
    static void check_layers(const ZoneUser& observer, const Policies& policies, int key,
                             Amount* last) {
        Shared::Tally* tally = &g_shared->tallies[key];
        // A request that begins later or was refused earlier only widens the bracket.
        uint64_t certainly = tally->passed;
        uint64_t refused = tally->refused;
        Request request(observer);
        policies.charge_rates(request, key, 0).admit(kNow);
        uint64_t possibly = tally->begun - refused;
        ASSERT_EQ(request.used(0), request.used(1)) << "key " << key;
        ASSERT_EQ(request.used(0), request.used(2)) << "key " << key;
        ASSERT_GE(request.used(0), certainly) << "key " << key;
        ASSERT_LE(request.used(0), possibly) << "key " << key;
        ASSERT_GE(request.used(0), *last) << "key " << key;
        ASSERT_LE(request.used(0), key < kPlentiful ? kPlenty : kFew) << "key " << key;
        *last = request.used(0);
    }

    /** The requests in flight that living processes say they have. */
    uint64_t held_by_the_living(int key) const {
        uint64_t sum = 0;
        for (const Child& child : children_) {
            sum += g_shared->held[child.incarnation][key];
        }
        return sum;
    }

    struct Child {
        pid_t pid;
        uint32_t incarnation;
    };
    std::vector<Child> children_;
    uint32_t next_ = 2;  // 0 means not known, 1 is this process
};

/** Returns how many processes to kill: CRASH_ROUNDS, or as many as fit into a few seconds. */
int deaths_wanted() {
    const char* wanted = getenv("CRASH_ROUNDS");
    return wanted != nullptr ? atoi(wanted) : 250;
}

TEST_F(KilledProcesses, LoseNoCountAndHangNobody) {
    auto memory = ZoneMemory::shared({64, 64, 64});
    Policies policies(memory->zone());
    ZoneUser observer(memory->zone(), &kRealHost, static_cast<uint32_t>(getpid()), 1);
    Random random(1);
    Amount last[kKeys] = {};
    for (int i = 0; i < 3; ++i) {
        start(memory->zone(), policies);
    }
    for (int death = 0; death < deaths_wanted(); ++death) {
        usleep(static_cast<useconds_t>(random.below(3000)));
        ASSERT_NO_FATAL_FAILURE(kill_one(random.below(children_.size())));
        for (int key = 0; key < kKeys; ++key) {
            ASSERT_NO_FATAL_FAILURE(check_layers(observer, policies, key, &last[key]));
        }
        ASSERT_NO_FATAL_FAILURE(start(memory->zone(), policies));
    }
    ASSERT_NO_FATAL_FAILURE(stop_all());
    reclaim_dead(observer.journal(), Now{});
    ASSERT_TRUE(is_at_rest(memory->zone()));
    uint64_t decisions = 0;
    uint64_t in_flight = 0;
    for (int key = 0; key < kKeys; ++key) {
        ASSERT_NO_FATAL_FAILURE(check_layers(observer, policies, key, &last[key]));
        decisions += g_shared->tallies[key].begun;
        EXPECT_EQ(peek(observer, policies.slots, Policies::hash_of(key), kNow),
                  held_by_the_living(key));
        in_flight += held_by_the_living(key);
    }
    for (int key = kPlentiful; key < kKeys; ++key) {
        EXPECT_EQ(last[key], kFew) << "key " << key << " is used up";
    }
    EXPECT_EQ(flights_in(memory->zone()), in_flight);
    RecordProperty("decisions", std::to_string(decisions));

    ASSERT_NO_FATAL_FAILURE(let_all_leave());
    EXPECT_EQ(flights_in(memory->zone()), 0u);
    for (int key = 0; key < kKeys; ++key) {
        EXPECT_EQ(peek(observer, policies.slots, Policies::hash_of(key), kNow), 0u);
    }
    for (uint32_t chunk = 0; chunk < memory->zone().sizes().flight_chunks; ++chunk) {
        EXPECT_EQ(memory->zone().chunk_owner(chunk)->load(), 0u);
    }
}

// A reload that changes a zone's size copies it while the old generation goes on.
TEST_F(KilledProcesses, OfAnOldGenerationHoldNothingInTheNewZone) {
    for (int round = 0; round < 20; ++round) {
        auto old_memory = ZoneMemory::shared({64, 64, 64});
        auto new_memory = ZoneMemory::shared({128, 32, 128});
        Policies policies(old_memory->zone());
        uint32_t self = static_cast<uint32_t>(getpid());
        for (int i = 0; i < 3; ++i) {
            ASSERT_NO_FATAL_FAILURE(start(old_memory->zone(), policies));
        }
        usleep(3000);
        ZoneUser master(old_memory->zone(), &kRealHost, self, 1);
        copy_zone(master.journal(), new_memory->zone(), kNow);
        master.journal()->retire(master.journal()->number());
        for (int i = 0; i < 2; ++i) {
            ASSERT_NO_FATAL_FAILURE(start(new_memory->zone(), policies));
        }
        usleep(2000);
        for (int i = 0; i < 3; ++i) {
            ASSERT_NO_FATAL_FAILURE(kill_one(0));
        }
        ASSERT_NO_FATAL_FAILURE(stop_all());
        ZoneUser observer(new_memory->zone(), &kRealHost, self, 1);
        reclaim_dead(observer.journal(), Now{});
        for (int key = 0; key < kKeys; ++key) {
            ASSERT_EQ(peek(observer, policies.slots, Policies::hash_of(key), kNow),
                      held_by_the_living(key))
                << "key " << key << " in round " << round;
        }
        ASSERT_NO_FATAL_FAILURE(let_all_leave());
        g_shared->stop = false;
        g_shared->leave = false;
        g_shared->at_rest = 0;
    }
}

}  // namespace
}  // namespace ai_limit
